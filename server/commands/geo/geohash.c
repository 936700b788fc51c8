#include "geohash.h"

#include <math.h>

#define EARTH_RADIUS 6372797.560856 /* meters */
#define MERCATOR_MOST 20037726.37   /* half of the way around it, meters */
#define DEGREE (M_PI / 180.0)
#define STEPS_MOST 26
#define SCORE_BITS (2 * STEPS_MOST)

/* A cell of the grid with 2^steps columns and as many rows. A place at the eastern or northern edge is in a
 * column or row behind the last one. */
struct cell {
    uint32_t column, row;
    int steps;
};

/* The bounds of a cell, or of an area. */
struct rectangle {
    double west, east, south, north;
};

bool place_is_valid(struct place place) {
    return place.longitude >= -GEO_LONGITUDE_MOST && place.longitude <= GEO_LONGITUDE_MOST &&
           place.latitude >= -GEO_LATITUDE_MOST && place.latitude <= GEO_LATITUDE_MOST;
}

/* ------------------------------------------------------------------ distances */

static double meridian_distance(double from, double to) {
    return EARTH_RADIUS * fabs(to * DEGREE - from * DEGREE);
}

/* The haversine formula (R. W. Sinnott, Virtues of the Haversine, 1984). */
double place_distance(struct place one, struct place other) {
    double across = sin((other.longitude * DEGREE - one.longitude * DEGREE) / 2);
    if (across == 0) return meridian_distance(one.latitude, other.latitude);
    double from = one.latitude * DEGREE, to = other.latitude * DEGREE, along = sin((to - from) / 2);
    double root = sqrt(along * along + cos(from) * cos(to) * across * across);
    return 2.0 * EARTH_RADIUS *
           asin(root > 1 ? 1 : root); /* on the other side of the earth rounding may have gone too far */
}

bool area_contains(const struct area *area, struct place place, double *distance) {
    if (area->is_box) {
        struct place beside = {area->center.longitude, place.latitude};
        if (meridian_distance(place.latitude, area->center.latitude) > area->height / 2) return false;
        if (place_distance(place, beside) > area->width / 2) return false;
    }
    *distance = place_distance(area->center, place);
    return area->is_box || *distance <= area->radius;
}

/* ------------------------------------------------------------------ places and cells */

/* Moves bit i to bit 2i. */
static uint64_t spread(uint32_t bits) {
    uint64_t wide = bits;
    wide = (wide | wide << 16) & UINT64_C(0x0000FFFF0000FFFF);
    wide = (wide | wide << 8) & UINT64_C(0x00FF00FF00FF00FF);
    wide = (wide | wide << 4) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    wide = (wide | wide << 2) & UINT64_C(0x3333333333333333);
    return (wide | wide << 1) & UINT64_C(0x5555555555555555);
}

static uint32_t gather(uint64_t wide) {
    wide &= UINT64_C(0x5555555555555555);
    wide = (wide | wide >> 1) & UINT64_C(0x3333333333333333);
    wide = (wide | wide >> 2) & UINT64_C(0x0F0F0F0F0F0F0F0F);
    wide = (wide | wide >> 4) & UINT64_C(0x00FF00FF00FF00FF);
    wide = (wide | wide >> 8) & UINT64_C(0x0000FFFF0000FFFF);
    return (uint32_t)(wide | wide >> 16);
}

static uint64_t cell_bits(struct cell cell) {
    return spread(cell.row) | spread(cell.column) << 1;
}

static struct cell cell_of(struct place place, int steps, double latitude_most) {
    double columns = (place.longitude + GEO_LONGITUDE_MOST) / (2 * GEO_LONGITUDE_MOST);
    double rows = (place.latitude + latitude_most) / (2 * latitude_most);
    return (struct cell){(uint32_t)ldexp(columns, steps), (uint32_t)ldexp(rows, steps), steps};
}

static struct rectangle cell_rectangle(struct cell cell) {
    double share = ldexp(1, -cell.steps), width = 2 * GEO_LONGITUDE_MOST, height = 2 * GEO_LATITUDE_MOST;
    return (struct rectangle){
        .west = cell.column * share * width - GEO_LONGITUDE_MOST,
        .east = (cell.column + 1) * share * width - GEO_LONGITUDE_MOST,
        .south = cell.row * share * height - GEO_LATITUDE_MOST,
        .north = (cell.row + 1) * share * height - GEO_LATITUDE_MOST,
    };
}

/* The cell so many columns and rows away, around the earth if need be. */
static struct cell cell_beside(struct cell cell, int columns, int rows) {
    uint32_t mask = (UINT32_C(1) << cell.steps) - 1;
    if (columns != 0) cell.column = (cell.column + (uint32_t)columns) & mask;
    if (rows != 0) cell.row = (cell.row + (uint32_t)rows) & mask;
    return cell;
}

double geohash_score(struct place place) {
    return (double)cell_bits(cell_of(place, STEPS_MOST, GEO_LATITUDE_MOST));
}

/* A sorted set may hold scores that no place has: the conversion is the processor's, also where C leaves it
 * open. */
static uint64_t score_bits(double score) {
    const double half = 0x1p63;
    if (score >= 2 * half) return 0;
    if (score >= half) return (uint64_t)(score - half) + (UINT64_C(1) << 63);
    return score >= -half ? (uint64_t)(int64_t)score : UINT64_C(1) << 63;
}

static double limited(double value, double most) {
    return value > most ? most : value < -most ? -most : value;
}

struct place geohash_place(double score) {
    uint64_t bits = score_bits(score);
    struct rectangle covers = cell_rectangle((struct cell){gather(bits >> 1), gather(bits), STEPS_MOST});
    return (struct place){limited((covers.west + covers.east) / 2, GEO_LONGITUDE_MOST),
                          limited((covers.south + covers.north) / 2, GEO_LATITUDE_MOST)};
}

void geohash_text(struct place place, char text[GEOHASH_TEXT]) {
    uint64_t bits = cell_bits(cell_of(place, STEPS_MOST, 90));
    for (int i = 0; i < GEOHASH_TEXT - 1; i++)
        text[i] = "0123456789bcdefghjkmnpqrstuvwxyz"[bits >> (SCORE_BITS - 5 * (i + 1)) & 31];
    text[GEOHASH_TEXT - 1] = '0'; /* of which there would be two bits only */
}

/* ------------------------------------------------------------------ what an area covers */

/* How often the earth can be halved so that cells are still as large as the radius. Near the poles they are
 * narrow. */
static int steps_for(double radius, double latitude) {
    if (radius == 0) return STEPS_MOST;
    int steps = -1;
    while (radius < MERCATOR_MOST) {
        radius *= 2;
        steps++;
    }
    if (fabs(latitude) > 66) steps -= fabs(latitude) > 80 ? 2 : 1;
    return steps < 1 ? 1 : steps > STEPS_MOST ? STEPS_MOST : steps;
}

static struct rectangle bounds_of(const struct area *area) {
    struct place center = area->center;
    double up = (area->is_box ? area->height / 2 : area->radius) / EARTH_RADIUS / DEGREE;
    double across = (area->is_box ? area->width / 2 : area->radius) / EARTH_RADIUS;
    /* Degrees of longitude are shortest on the side of the nearer pole. */
    double narrow = center.latitude < 0 ? center.latitude - up : center.latitude + up;
    across = across / cos(narrow * DEGREE) / DEGREE;
    return (struct rectangle){center.longitude - across, center.longitude + across, center.latitude - up,
                              center.latitude + up};
}

/* Whether the cells around this one reach beyond the bounds on every side. */
static bool neighbors_cover(struct cell cell, const struct rectangle *bounds) {
    return cell_rectangle(cell_beside(cell, 0, 1)).north >= bounds->north &&
           cell_rectangle(cell_beside(cell, 0, -1)).south <= bounds->south &&
           cell_rectangle(cell_beside(cell, 1, 0)).east >= bounds->east &&
           cell_rectangle(cell_beside(cell, -1, 0)).west <= bounds->west;
}

/* Whether the center's cell alone reaches beyond the bounds on that side: then its neighbor there has
 * nothing. */
static bool is_useless(const struct rectangle *covered, const struct rectangle *bounds, int columns,
                       int rows) {
    return (rows < 0 && covered->south < bounds->south) || (rows > 0 && covered->north > bounds->north) ||
           (columns < 0 && covered->west < bounds->west) || (columns > 0 && covered->east > bounds->east);
}

size_t area_ranges(const struct area *area, struct score_range ranges[AREA_RANGES_MOST]) {
    static const struct {
        int columns, rows;
    } around[AREA_RANGES_MOST] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                                  {1, 1}, {-1, 1}, {1, -1}, {-1, -1}};
    struct rectangle bounds = bounds_of(area);
    double radius = area->is_box
                        ? sqrt(area->width / 2 * (area->width / 2) + area->height / 2 * (area->height / 2))
                        : area->radius;
    int steps = steps_for(radius, area->center.latitude);
    if (steps > 1 && !neighbors_cover(cell_of(area->center, steps, GEO_LATITUDE_MOST), &bounds)) steps--;
    struct cell center = cell_of(area->center, steps, GEO_LATITUDE_MOST);
    struct rectangle covered = cell_rectangle(center);
    size_t count = 0;
    for (int i = 0; i < AREA_RANGES_MOST; i++) {
        if (steps >= 2 && is_useless(&covered, &bounds, around[i].columns, around[i].rows)) continue;
        uint64_t bits = cell_bits(cell_beside(center, around[i].columns, around[i].rows));
        int shift = SCORE_BITS - 2 * steps;
        struct score_range range = {(double)(bits << shift), (double)((bits + 1) << shift)};
        /* In a coarse grid the neighbors on opposite sides are the same. */
        if (count > 1 && ranges[count - 1].least == range.least) continue;
        ranges[count++] = range;
    }
    return count;
}
