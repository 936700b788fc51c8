/* Acts of scripts and functions (acts.c has the table). */
#ifndef TESTS_STORM_SCRIPTS_H
#define TESTS_STORM_SCRIPTS_H

struct actor;

/* Of declared and undeclared keys, by themselves and in transactions, known or forgotten just now. */
void play_script(struct actor *actor);
/* Libraries come and go, and are called. */
void play_function(struct actor *actor);
/* One that takes long, and others that end it or not. */
void play_slow_script(struct actor *actor);

#endif
