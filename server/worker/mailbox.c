/* The queue is a linked list whose links are set after the fact: a producer first swaps itself in as the
 * tail, then links the message before it to itself. In between the list is cut, and a consumer that gets
 * there says that there is nothing yet.
 *
 *     head --> m1 --> m2 -/ /-> m3 <-- tail          (the producer of m3 is about to link m2 to it)
 *
 * A stub keeps the list from ever being empty; it is queued again by the consumer whenever it would take the
 * last message. */
#include "mailbox.h"

/* Something is there; and the consumer has been told, or will be. */
#define FILLED UINT32_C(1)
#define CALLED UINT32_C(2)

static void mailbox_link(struct mailbox *mailbox, struct message *message) {
    atomic_store_explicit(&message->next, NULL, memory_order_relaxed);
    struct message *before = atomic_exchange_explicit(&mailbox->tail, message, memory_order_acq_rel);
    atomic_store_explicit(&before->next, message, memory_order_release);
}

void mailbox_init(struct mailbox *mailbox) {
    atomic_init(&mailbox->stub.next, NULL);
    mailbox->stub.handle = NULL;
    mailbox->head = &mailbox->stub;
    atomic_init(&mailbox->tail, &mailbox->stub);
    atomic_init(&mailbox->signal, 0);
}

/* The signal is an exchange on both sides: a producer that finds it set knows that the consumer's rearm comes
 * later and so sees the link. */
bool mailbox_push(struct mailbox *mailbox, struct message *message) {
    mailbox_link(mailbox, message);
    uint32_t before = atomic_exchange_explicit(&mailbox->signal, FILLED | CALLED, memory_order_acq_rel);
    return (before & CALLED) == 0;
}

void mailbox_push_quietly(struct mailbox *mailbox, struct message *message) {
    mailbox_link(mailbox, message);
    atomic_fetch_or_explicit(&mailbox->signal, FILLED, memory_order_acq_rel);
}

bool mailbox_call(struct mailbox *mailbox) {
    uint32_t filled = FILLED;
    return atomic_compare_exchange_strong_explicit(&mailbox->signal, &filled, FILLED | CALLED,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

void mailbox_rearm(struct mailbox *mailbox) {
    atomic_exchange_explicit(&mailbox->signal, 0, memory_order_acq_rel);
}

struct message *mailbox_pop(struct mailbox *mailbox) {
    struct message *head = mailbox->head;
    struct message *next = atomic_load_explicit(&head->next, memory_order_acquire);
    if (head == &mailbox->stub) {
        if (!next) return NULL;
        mailbox->head = head = next;
        next = atomic_load_explicit(&head->next, memory_order_acquire);
    }
    if (next) {
        mailbox->head = next;
        return head;
    }
    if (head != atomic_load_explicit(&mailbox->tail, memory_order_acquire))
        return NULL; /* somebody is just linking */
    mailbox_link(mailbox, &mailbox->stub);
    next = atomic_load_explicit(&head->next, memory_order_acquire);
    if (!next) return NULL; /* likewise, and before the stub */
    mailbox->head = next;
    return head;
}

bool mailbox_is_cut(const struct mailbox *mailbox) {
    return mailbox->head != atomic_load_explicit(&mailbox->tail, memory_order_acquire);
}
