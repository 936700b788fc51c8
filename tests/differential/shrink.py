"""Shrinking: the shortest sequence that still makes the servers differ, by delta debugging (Zeller and Hildebrandt's ddmin) over
requests, then over arguments, then over the bytes of arguments."""

import time

from actions import Action, requests_of
from engine import Batch, Void
from safe import make_safe


def flatten(batches):
    """One request per batch: if that still differs, pipelines are not to blame."""
    return [Batch(batch.connection, [step]) for batch in batches for step in batch.steps]


def kind_of(difference):
    """What a difference is called. Without what stood before it something else may differ, and only because of that."""
    request = difference.request
    name = request[0].upper() if isinstance(request, list) else request.name if isinstance(request, Action) else request[:20]
    return name, *(reply[0] if isinstance(reply, tuple) else None for reply in (difference.ours, difference.theirs))


class Shrinker:
    def __init__(self, pair, seconds, say=lambda text: None):
        self.pair, self.deadline, self.say = pair, time.monotonic() + seconds, say
        self.tries, self.kind = 0, None

    def differs(self, batches):
        if not batches:
            return None
        self.tries += 1
        self.pair.reset()
        try:
            difference = self.pair.run(batches)
        except Void:
            return None
        if difference is None or (self.kind is not None and kind_of(difference) != self.kind):
            return None
        return difference

    def is_late(self):
        return time.monotonic() > self.deadline

    def shrink(self, batches, difference):
        """Returns (batches, difference), or (batches, None) if it can't be made to happen again."""
        batches = batches[:difference.batch + 1]
        again = self.differs(batches)
        if again is None:
            return batches, None
        self.kind = kind_of(again)
        flat = flatten(batches[:again.batch + 1])
        seen = self.differs(flat)
        if seen is not None:
            batches, again = flat[:seen.batch + 1], seen
        batches, again = self.related_first(batches, again)
        batches, again = self.ddmin(batches, again)
        if any(len(batch.steps) > 1 for batch in batches):
            batches, again = self.shrink_inside(batches, again)
        batches, again = self.shrink_arguments(batches, again)
        batches, again = self.ddmin(batches, again)
        return self.merge_connections(batches, again)

    def related_first(self, batches, again):
        """A good guess first: the failing request, those that share an argument with it, and those that set the connection's state."""
        last = batches[-1].steps[-1]
        words = last.arguments if isinstance(last, Action) and requests_of(last) is None else last if isinstance(last, list) else []
        wanted = set(words)
        if isinstance(last, list) and wanted:
            wanted.discard(last[0])
        guess = [batch for batch in batches[:-1] if any(
            isinstance(step, list) and step and (step[0].upper() in (b'SELECT', b'HELLO', b'RESET', b'SWAPDB') or wanted & set(step[1:])) for step in batch.steps)]
        guess.append(batches[-1])
        if len(guess) < len(batches):
            seen = self.differs(guess)
            if seen is not None:
                return guess[:seen.batch + 1], seen
        return batches, again

    def ddmin(self, items, again):
        parts = 2
        while len(items) > 1 and not self.is_late():
            size = max(1, -(-len(items) // parts))
            for start in range(0, len(items), size):
                if self.is_late():
                    return items, again
                rest = items[:start] + items[start + size:]
                seen = self.differs(rest)
                if seen is not None:
                    items, again = rest[:seen.batch + 1], seen
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    return items, again
                parts = min(len(items), parts * 2)
        return items, again

    def shrink_inside(self, batches, again):
        """Requests within pipelines that had to stay pipelines."""
        for place in range(len(batches)):
            number = 0
            while number < len(batches[place].steps) and len(batches[place].steps) > 1 and not self.is_late():
                batch = batches[place]
                shorter = Batch(batch.connection, batch.steps[:number] + batch.steps[number + 1:], batch.style)
                seen = self.differs(batches[:place] + [shorter] + batches[place + 1:])
                if seen is not None:
                    batches, again = batches[:place] + [shorter] + batches[place + 1:], seen
                else:
                    number += 1
        return batches, again

    def shrink_arguments(self, batches, again):
        for place in range(len(batches)):
            for number in range(len(batches[place].steps)):
                step = batches[place].steps[number]
                if isinstance(step, Action) and requests_of(step) is not None:
                    def rebuild(parts, place=place, number=number, name=step.name):
                        return self.replaced(batches, place, number, Action(name, parts))
                    batches, again = self.drop_items(step.arguments, rebuild, batches, again, 1 if step.name == 'limited' else 0)
                elif isinstance(step, list) and step[0].upper() != b'SHUTDOWN':
                    batches, again = self.shrink_request(batches, place, number, again)
        return batches, again

    def shrink_request(self, batches, place, number, again):
        batches, again = self.drop_items(batches[place].steps[number], lambda items: self.replaced(batches, place, number, items), batches, again, 1)
        step = batches[place].steps[number]
        for index in range(1, len(step)):
            for simpler in (b'', b'a', b'1', step[index][:len(step[index]) // 2], step[index][len(step[index]) // 2:], b'a' * min(20, len(step[index]))):
                current = batches[place].steps[number]
                if self.is_late() or len(simpler) >= len(current[index]):
                    continue
                candidate = self.replaced(batches, place, number, current[:index] + [simpler] + current[index + 1:])
                seen = self.differs(candidate)
                if seen is not None:
                    batches, again = candidate, seen
        return batches, again

    def drop_items(self, items, rebuild, batches, again, first):
        index = len(items) - 1
        while index >= first and not self.is_late():
            shorter = items[:index] + items[index + 1:]
            candidate = rebuild(shorter) if shorter else None
            seen = self.differs(candidate) if candidate else None
            if seen is not None:
                items, batches, again = shorter, candidate, seen
            index -= 1
        return batches, again

    @staticmethod
    def replaced(batches, place, number, step):
        old = batches[place]
        if isinstance(step, list):
            step = make_safe(list(step), allows_past=True)
        new = Batch(old.connection, old.steps[:number] + [step] + old.steps[number + 1:], old.style)
        return batches[:place] + [new] + batches[place + 1:]

    def merge_connections(self, batches, again):
        """One connection if that is enough."""
        merged = [Batch(0, batch.steps, batch.style) for batch in batches]
        seen = None if self.is_late() else self.differs(merged)
        return (merged, seen) if seen is not None else (batches, again)
