"""What several tests share: cases, goldens, oracles, files made by hand."""
