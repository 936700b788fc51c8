"""Celery, unmodified, doing a shop's work: celery_shop.py PORT DATABASE; its worker is a process of its own, which loads this file as well.

Broker, results and remote control. The tasks note in a list what they did, and in which order."""
import os
import subprocess
import sys
import time

import celery
import celery.signals
import redis

if __name__ == '__main__':
    os.environ['SHOP'] = '%s/%s' % (sys.argv[1], sys.argv[2])
LONG = 60  # seconds: an answer ends it, or else the runner
place = 'redis://127.0.0.1:' + os.environ['SHOP']
app = celery.Celery('shop', broker=place, backend=place)
app.conf.update(
    task_acks_late=True, worker_prefetch_multiplier=0,
    broker_transport_options={'queue_order_strategy': 'priority', 'priority_steps': [0, 3, 6, 9]}, worker_hijack_root_logger=False)
notes = redis.Redis.from_url(place, decode_responses=True)


@celery.signals.task_received.connect
def receive(request, **_):
    if request.argsrepr == "('tomorrow',)":
        notes.incr('received for later')


@app.task(name='sell')
def sell(what):
    notes.rpush('sold', what)


@app.task(name='add')
def add(so_far, n):
    notes.rpush('sums', so_far + n)
    return so_far + n


@app.task(name='double')
def double(n):
    return 2 * n


@app.task(name='total')
def total(numbers):
    return numbers


@app.task(name='flaky', bind=True, max_retries=3)
def flaky(self, what):
    if notes.hincrby('tries', what, 1) < 3:
        raise self.retry(countdown=0.05)
    sell(what)
    return 'sold ' + what


@app.task(name='broken', bind=True, max_retries=1, default_retry_delay=0.05)
def broken(self, what):
    notes.hincrby('tries', what, 1)
    raise self.retry(exc=ValueError(what))


@app.task(name='abort', bind=True)
def abort(self, what):
    """Given back to its queue when it is first tried."""
    if notes.hincrby('tries', what, 1) == 1:
        raise celery.exceptions.Reject('not now', requeue=True)
    sell(what)


def until(is_so):
    while not is_so():
        time.sleep(0.01)


def main():
    from check import check, finish
    for i in range(30):
        sell.delay('plain %d' % i)
    flaky_ones, broken_ones = [], []
    for i in range(3):
        sell.apply_async(('delayed %d' % i,), countdown=0.1 * (3 - i))
        flaky_ones.append(flaky.delay('flaky %d' % i))
        broken_ones.append(broken.delay('broken %d' % i))
        abort.delay('rejected %d' % i)
    for priority in (9, 3, 0, 6):
        sell.apply_async(('priority %d' % priority,), queue='ranked', priority=priority)
    sell.apply_async(('too late',), expires=-1)
    chained = celery.chain(add.s(1, 2), add.s(3), add.s(4))()
    gathered = celery.chord((double.s(i) for i in range(5)), total.s())()
    celery.group(sell.s('grouped %d' % i) for i in range(5))()
    check('tasks wait in a list', notes.llen('celery') == 30 + 4 * 3 + 1 + 1 + 5 + 5)

    worker = subprocess.Popen([sys.executable, '-m', 'celery', '-A', 'celery_shop', 'worker', '--concurrency', '1', '-Q',
                               'celery,ranked', '-n', 'till@shop', '-l', 'ERROR'],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              cwd=os.path.dirname(os.path.abspath(__file__)))
    control = app.control.inspect(destination=['till@shop'], timeout=LONG)
    try:
        until(lambda: notes.llen('sold') == 30 + 3 * 3 + 4 + 5 and notes.llen('sums') == 3 and worker.poll() is None
              and sum(int(n) for n in notes.hvals('tries')) == 3 * (3 + 2 + 2))
        until(lambda: not notes.exists('unacked'))
        check('results are waited for', chained.get() == 10 and [result.get() for result in flaky_ones] == ['sold flaky %d' % i for i in range(3)])
        check('so is what went wrong', [repr(result.get(propagate=False)) for result in broken_ones] == ["ValueError('broken %d')" % i for i in range(3)])
        check('a chord gathers them in order', gathered.get() == [0, 2, 4, 6, 8])
        until(lambda: notes.pubsub_numpat() == 2)  # it hears of other workers, and of what it is told
        check('a worker answers', control.ping() == {'till@shop': {'ok': 'pong'}} and 'flaky' in control.registered()['till@shop'])
        app.control.add_consumer('second', destination=['till@shop'], reply=True, timeout=LONG, limit=1)
        check('it takes from another queue as it is told', double.apply_async((21,), queue='second').get() == 42)
        # What is far away is held by the worker, and given back by it when it ends.
        sell.apply_async(('tomorrow',), countdown=86400)
        until(lambda: notes.exists('received for later'))
        app.control.shutdown()
        complaints = worker.communicate()[1]
    finally:
        worker.terminate()
    sold = notes.lrange('sold', 0, -1)
    check('none is lost and none is doubled', len(set(sold)) == len(sold) == 30 + 3 * 3 + 4 + 5)
    check('in the order in which they came', [s for s in sold if s[:5] == 'plain'] == ['plain %d' % i for i in range(30)])
    ranked = [what for what in sold if what.startswith('priority')]
    check('what is urgent comes first', ranked == ['priority %d' % n for n in (0, 3, 6, 9)])
    check('what is late is dropped', 'too late' not in sold)
    check('a chain hands on', notes.lrange('sums', 0, -1) == ['3', '6', '10'])
    tries = notes.hgetall('tries')
    check('retries', all(n == ('3' if what.startswith('flaky') else '2') for what, n in tries.items()) and len(tries) == 9)
    check('a worker ends as it is told and gives back', worker.returncode == 0 and notes.llen('celery') == 1)
    check('nothing but the broken ones is complained of', 'ValueError' in complaints and 'redis.exceptions' not in complaints)
    notes.sort('sold', alpha=True, store='sold')
    finish()


if __name__ == '__main__':
    main()
