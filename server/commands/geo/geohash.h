/* Places on the earth as numbers that sort: near places mostly have near numbers.
 *
 * Longitude and latitude are each cut in half so many times (26 for a stored place), and each time one bit
 * says which half it was. The bits of both, interleaved, are the number: 52 of them, so that a double holds
 * it, and a sorted set is a geographic index. (G. M. Morton, A Computer Oriented Geodetic Data Base, 1966.)
 *
 *     step 1   +----+----+      step 2   +----+----+----+----+
 *              |    |    |               |0101|0111|1101|1111|
 *              | 01 | 11 |               +----+----+----+----+
 *              |    |    |               |0100|0110|1100|1110|
 *              +----+----+               +----+----+----+----+
 *              |    |    |               |0001|0011|1001|1011|
 *              | 00 | 10 |               +----+----+----+----+
 *              |    |    |               |0000|0010|1000|1010|
 *              +----+----+               +----+----+----+----+
 *
 * All places of a cell have the bits of the cell in front, so a cell is one range of scores. An area is
 * looked for in the cell of its center and the eight around it, with cells just large enough that these nine
 * cover it.
 *
 * The grid is that of Web Mercator, so latitudes end at 85 degrees. Numbers, distances and the order of the
 * cells agree with Redis's to the last bit. */
#ifndef SERVER_COMMANDS_GEO_GEOHASH_H
#define SERVER_COMMANDS_GEO_GEOHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEO_LONGITUDE_MOST 180.0
#define GEO_LATITUDE_MOST 85.05112878

struct place {
    double longitude, latitude; /* degrees */
};

/* Whether the place is on the grid. What follows takes only places that are. */
bool place_is_valid(struct place place);
/* The distance of two places along the surface of a sphere, in meters. */
double place_distance(struct place one, struct place other);

/* The place's number. */
double geohash_score(struct place place);
/* The middle of the cell that a score stands for. Any score will do: where it is no place's number, the place
 * is an arbitrary one. */
struct place geohash_place(double score);

#define GEOHASH_TEXT 11
/* The standard text (https://en.wikipedia.org/wiki/Geohash), whose latitudes go to 90 degrees; the last
 * character is always 0. */
void geohash_text(struct place place, char text[GEOHASH_TEXT]);

/* A circle, or a box whose sides follow the grid. Lengths are meters. */
struct area {
    struct place center;
    bool is_box;
    double radius;
    double width, height;
};

/* Whether the place is in the area, and its distance from the center. */
bool area_contains(const struct area *area, struct place place, double *distance);

/* The scores from `least` on and below `end`. */
struct score_range {
    double least, end;
};
#define AREA_RANGES_MOST 9
/* The ranges that together hold all places of the area, in the order in which they are to be looked through:
 * the center's, north, south, east, west, and the corners. Returns how many. */
size_t area_ranges(const struct area *area, struct score_range ranges[AREA_RANGES_MOST]);

#endif
