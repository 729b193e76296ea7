"""Code that several tests share: cases, goldens, oracles, handmade files."""
