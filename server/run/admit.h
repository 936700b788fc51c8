/* Admission: what refuses a command before it runs. */
#ifndef SERVER_RUN_ADMIT_H
#define SERVER_RUN_ADMIT_H

#include "dispatcher.h"

/* Redis asks in this order. false: it is refused, and that is replied. */
bool is_admitted(const struct execution *execution);

#endif
