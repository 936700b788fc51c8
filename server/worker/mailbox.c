/* The queue is a linked list whose links are set after the fact: a producer first swaps itself in as the
 * tail, then links the message before it to itself. In between the list is cut, and a consumer that gets
 * there says that there is nothing yet.
 *
 *     head --> m1 --> m2 -/ /-> m3 <-- tail          (the producer of m3 is about to link m2 to it)
 *
 * A stub keeps the list from ever being empty; it is queued again by the consumer whenever it would take the
 * last message. */
#include "mailbox.h"

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
    atomic_init(&mailbox->is_signalled, false);
}

/* The signal is an exchange on both sides: a producer that finds it set knows that the consumer's rearm comes
 * later and so sees the link. */
bool mailbox_push(struct mailbox *mailbox, struct message *message) {
    mailbox_link(mailbox, message);
    return !atomic_exchange_explicit(&mailbox->is_signalled, true, memory_order_acq_rel);
}

void mailbox_rearm(struct mailbox *mailbox) {
    atomic_exchange_explicit(&mailbox->is_signalled, false, memory_order_acq_rel);
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
