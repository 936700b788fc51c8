/* A command's arguments in one line of text, and as the tree that COMMAND DOCS tells of them.
 *
 * Items are separated by one blank, each is one argument:
 *
 *     item := [ '[' ] name [ ':' type ] [ '#' key spec ] [ '=' token ] [ '@' since ] [ '~' deprecated since ]
 *             [ '(' items ')' ] [ '...' | '+...' ] [ ']' ]
 *
 *     [ ]      around an item: it is optional
 *     type     string, integer, double, key, pattern, unix-time, pure-token, and with items inside: oneof
 *              (one of them), block (all of them, in order). Left out where there is a token: pure-token.
 *              A name may have a ':' of its own ("ip:port:string"): the type is behind the last one.
 *     #0       the name of a key, or a pattern of names, described by this one of the row's key specs
 *     =EX      the word that announces the argument, or that is the argument (pure-token); in quotes if it
 *              is empty or has a letter of this grammar ("~")
 *     @6.2.0   in which version of Redis the argument came
 *     ~2.8.12  and in which it was deprecated
 *     ...      may be repeated; with '+', together with its token
 *
 * So GETEX is "key:key#0 [expiration:oneof(seconds:integer=EX milliseconds:integer=PX persist=PERSIST)]",
 * shortened. */
#ifndef SERVER_COMMAND_SYNTAX_H
#define SERVER_COMMAND_SYNTAX_H

#include "resp/reply.h"

/* Replies the array of arguments. `syntax` has no error: that is asserted, and syntax_error finds out. */
void syntax_reply(const char *syntax, struct reply *reply);

/* Where the text stops making sense, or NULL if all of it does. */
const char *syntax_error(const char *syntax);

#endif
