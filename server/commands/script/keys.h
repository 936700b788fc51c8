/* What the rows of scripts and of functions say of their keys: their number stands before them, and nothing
 * tells what will be done to them. */
#ifndef SERVER_COMMANDS_SCRIPT_KEYS_H
#define SERVER_COMMANDS_SCRIPT_KEYS_H

#include "server/command/command.h"

#define SCRIPT_RW (KEY_RW | KEY_ACCESS | KEY_UPDATE)
#define SCRIPT_RO (KEY_RO | KEY_ACCESS)
#define SCRIPT_NOTES "What is done to the keys isn't known before, so everything is assumed"
#define SCRIPT_KEYS(which, why)                                                                              \
    {                                                                                                        \
        {                                                                                                    \
            .flags = (which), .first = 2, .step = 1, .is_keynum = true, .notes = (why)                       \
        }                                                                                                    \
    }

#endif
