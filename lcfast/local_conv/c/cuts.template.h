/* How a sum of more terms than a piece is cut, by the bits rule of lc.h. */

/* sums[i] (i < count) is the chain of the piece whose last term is number terms - 1.  The unfinished
   sums of the pieces before it are kept in LC_TOTALS arrays, `apart` numbers apart: first those of
   pieces, then those of groups, and so on.  After the `last` piece, sums[i] is the whole sum. */
static __attribute__((noinline)) LC_TARGET void
LC_NAME(add_piece)(int64_t terms, int last, int64_t count, int64_t apart,
                   LC_REAL *restrict sums, LC_REAL *restrict totals) {
    int64_t before = (terms - 1) / LC_PIECE; /* so many pieces; then groups, and so on */
    for (int level = 1; level <= LC_TOTALS; level++, totals += apart, before /= LC_GROUP) {
        const int64_t in_group = level < LC_TOTALS ? before % LC_GROUP : before;
        const int goes_on = !last && (in_group < LC_GROUP - 1 || level == LC_TOTALS);
        if (goes_on && in_group == 0)
            memcpy(totals, sums, (size_t)count * sizeof *sums);
        else if (goes_on)
            for (int64_t i = 0; i < count; i++)
                totals[i] += sums[i];
        else if (in_group > 0)
            for (int64_t i = 0; i < count; i++)
                sums[i] = totals[i] + sums[i];
        if (goes_on)
            return;
    }
}

/* Where the next terms of a tile are; all zeros at the start. */
typedef struct {
    int64_t run, offset; /* how far into the run */
    int64_t terms;       /* before them */
} LC_NAME(place);

/* part = the next terms of the tile, within one piece: whole runs, or a part of one run.  Moves the
   place behind them; returns how far into its run the first of them is. */
static LC_ALWAYS_INLINE LC_TARGET int64_t LC_NAME(next_terms)(const lc_tile *tile, int64_t most,
                                                              int64_t most_runs,
                                                              LC_NAME(place) *place,
                                                              lc_tile *part) {
    const int64_t offset = place->offset, length = tile->run_length, left = length - offset;
    const int64_t in_piece = LC_PIECE - place->terms % LC_PIECE;
    const int64_t room = in_piece < most ? in_piece : most;
    part->a_run_offset = tile->a_run_offset + place->run;
    part->b_run_offset = tile->b_run_offset + place->run;
    part->accumulate = in_piece < LC_PIECE;
    part->runs = 1;
    part->run_length = left < room ? left : room;
    if (offset == 0 && 2 * length <= room && most_runs > 1) {
        part->runs = room / length;
        if (part->runs > tile->runs - place->run)
            part->runs = tile->runs - place->run;
    }
    place->terms += part->runs * part->run_length;
    place->offset += part->run_length;
    if (place->offset == length) {
        place->offset = 0;
        place->run += part->runs;
    }
    return offset;
}
