/* How a sum of more terms than a piece is cut, by the bits rule of lc.h. */

/* sums[i] (i < count) is the chain of the piece whose last term is number terms - 1.  The unfinished
   sums of the pieces before it are kept in LC_TOTALS arrays, `apart` numbers apart: first those of
   pieces, then those of groups, and so on.  After the `last` piece, sums[i] is the whole sum. */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(add_piece)(int64_t terms, int last, int64_t count, int64_t apart, LC_REAL *sums,
                   LC_REAL *totals) {
    int64_t before = (terms - 1) / LC_PIECE; /* so many pieces; then groups, and so on */
    for (int level = 1; level <= LC_TOTALS; level++, totals += apart, before /= LC_GROUP) {
        const int64_t in_group = level < LC_TOTALS ? before % LC_GROUP : before;
        if (in_group > 0)
            for (int64_t i = 0; i < count; i++)
                sums[i] = totals[i] + sums[i];
        if (!last && (in_group < LC_GROUP - 1 || level == LC_TOTALS)) {
            memcpy(totals, sums, (size_t)count * sizeof *sums);
            return;
        }
    }
}

/* part = the terms of the tile from number `terms` on, within one piece: whole runs, or a part of
   one run.  Returns how far into its run the first of them is. */
static LC_TARGET int64_t LC_NAME(next_terms)(const lc_tile *tile, int64_t terms, int64_t most,
                                             int64_t most_runs, lc_tile *part) {
    const int64_t run = terms / tile->run_length, offset = terms % tile->run_length;
    const int64_t left = tile->run_length - offset, in_piece = LC_PIECE - terms % LC_PIECE;
    const int64_t room = in_piece < most ? in_piece : most;
    int64_t runs = tile->runs - run < most_runs ? tile->runs - run : most_runs;
    if (runs > room / tile->run_length)
        runs = room / tile->run_length;
    if (offset)
        runs = 0;
    part->runs = runs ? runs : 1;
    part->run_length = runs || left < room ? left : room;
    part->a_run_offset = tile->a_run_offset + run;
    part->b_run_offset = tile->b_run_offset + run;
    part->accumulate = terms % LC_PIECE != 0;
    return offset;
}
