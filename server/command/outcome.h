/* How far a request has come. */
#ifndef SERVER_COMMAND_OUTCOME_H
#define SERVER_COMMAND_OUTCOME_H

enum outcome {
    OUTCOME_DONE, /* the reply is there (it may be empty: CLIENT REPLY OFF) */
    /* the task was parked; the request is to be dispatched again once it is woken */
    OUTCOME_PARKED,
};

#endif
