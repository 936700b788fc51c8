"""RQ, unmodified, doing a post office's work: rq_post.py PORT DATABASE"""
import datetime
import sys
import threading
import time

import redis
import rq
import rq.command
import rq.job
import rq.registry
import rq.scheduler

from check import check, finish

place = dict(host='127.0.0.1', port=int(sys.argv[1]), db=int(sys.argv[2]))
connection = redis.Redis(**place)


def deliver(what):
    connection.rpush('delivered', what)
    return what


def flaky(what):
    if connection.hincrby('tries', what, 1) < 3:
        raise ValueError('not yet: ' + what)
    return deliver(what)


def broken(what):
    connection.hincrby('tries', what, 1)
    raise ValueError('never: ' + what)


def gather():
    return sorted(job.result for job in rq.get_current_job().fetch_dependencies())


def until(is_so):
    while not is_so():
        time.sleep(0.01)


def until_it_listens(own, worker):
    """A worker asks to hear of commands, and goes on before it is answered."""
    until(lambda: dict(own.pubsub_numsub('rq:pubsub:' + worker)).popitem()[1] == 1)


def end_worker():
    """Its own, which takes no other job then."""
    name = rq.get_current_job().worker_name
    until_it_listens(connection, name)
    rq.command.send_shutdown_command(connection, name)
    until(lambda: connection.hexists('rq:worker:' + name, 'shutdown_requested_date'))


def work_for_ever():
    connection.rpush('begun', rq.get_current_job().id)
    connection.blpop('nothing')


def stop_what_begins(worker):
    with redis.Redis(**place) as own:
        job = own.blpop('begun')[1].decode()
        until_it_listens(own, worker)
        rq.command.send_stop_job_command(own, job)


def told(job, connection, *result):
    connection.hincrby('told of failures' if len(result) == 3 else 'told of successes', job.id, 1)


def main():
    slow, fast = rq.Queue('slow', connection=connection), rq.Queue('fast', connection=connection)
    # RQ finds a function by its module's name, which is not that of a main program.
    import rq_post as work
    for i in range(20):
        slow.enqueue(work.deliver, 'slow %d' % i, job_id='slow %d' % i)
        fast.enqueue(work.deliver, 'fast %d' % i, job_id='fast %d' % i, result_ttl=-1)
    for i in range(3):
        slow.enqueue(work.flaky, 'flaky %d' % i, job_id='flaky %d' % i, retry=rq.Retry(max=5))
        slow.enqueue(work.broken, 'broken %d' % i, job_id='broken %d' % i, retry=rq.Retry(max=1), on_failure=work.told)
        fast.enqueue(work.deliver, 'told %d' % i, job_id='told %d' % i, on_success=work.told)
    many = [rq.Queue.prepare_data(work.deliver, ('many %d' % i,), job_id='many %d' % i) for i in range(10)]
    check('many are queued at once', len(slow.enqueue_many(many)) == 10)
    first = [fast.enqueue(work.deliver, 'first %d' % i, job_id='first %d' % i) for i in range(3)]
    second = slow.enqueue(work.gather, job_id='second', depends_on=first)
    third = slow.enqueue(work.gather, job_id='third', depends_on=second)
    check('what depends on another is deferred', second.get_status() == 'deferred' and third.get_status() == 'deferred')
    front = slow.enqueue(work.deliver, 'front', job_id='front', at_front=True)
    check('the front of a queue', front.get_position() == 0)
    cancelled = slow.enqueue(work.deliver, 'cancelled', job_id='cancelled')
    cancelled.cancel()
    check('a job is cancelled', cancelled.get_status() == 'canceled' and cancelled.id in rq.registry.CanceledJobRegistry(queue=slow))
    slow.enqueue(work.deliver, 'deleted', job_id='deleted').delete()
    check('a job is deleted', not rq.job.Job.exists('deleted', connection))
    now = datetime.datetime.now(datetime.timezone.utc)
    fast.enqueue_at(now - datetime.timedelta(seconds=5), work.deliver, 'due', job_id='due')
    fast.enqueue_at(now + datetime.timedelta(days=1), work.deliver, 'tomorrow', job_id='tomorrow')

    scheduler = rq.scheduler.RQScheduler([fast], connection=connection)
    other = rq.scheduler.RQScheduler([fast], connection=connection)
    check('one scheduler holds the lock', scheduler.acquire_locks() and not other.acquire_locks())
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    check('what is due is queued', 'due' in fast.job_ids and 'tomorrow' not in fast.job_ids)

    for name in ('anna', 'bert'):
        worker = rq.SimpleWorker([fast, slow], connection=connection, name=name)
        worker.work(burst=True, logging_level='CRITICAL', max_jobs=40 if name == 'anna' else None)
    delivered = [what.decode() for what in connection.lrange('delivered', 0, -1)]
    check('none is lost and none is doubled', len(set(delivered)) == len(delivered) == 40 + 3 + 3 + 10 + 3 + 2)
    check('one queue comes before the other', delivered[:20] == ['fast %d' % i for i in range(20)] and delivered.index('front') < delivered.index('slow 0'))
    tries = {what.decode(): int(n) for what, n in connection.hgetall('tries').items()}
    check('retries', tries == {'%s %d' % (what, i): n for what, n in (('flaky', 3), ('broken', 2)) for i in range(3)})
    # Two that end in one moment may end in either order.
    fetch = rq.job.Job.fetch
    check('results', fetch('fast 7', connection).result == 'fast 7' and fetch('second', connection).result == ['first 0', 'first 1', 'first 2'])
    check('what depended has run', fetch('third', connection).get_status() == 'finished')
    check('failed ones are kept', sorted(rq.registry.FailedJobRegistry(queue=slow).get_job_ids()) == ['broken 0', 'broken 1', 'broken 2']
          and 'never: broken 1' in fetch('broken 1', connection).exc_info)
    # RQ tells of each try that fails, of which these jobs have two, and not only of the last.
    check('callbacks', connection.hgetall('told of failures') == {b'broken %d' % i: b'2' for i in range(3)}
          and connection.hgetall('told of successes') == {b'told %d' % i: b'1' for i in range(3)})
    requeued = rq.registry.FailedJobRegistry(queue=slow).requeue('broken 0')
    check('a failed job is queued again', requeued.get_status() == 'queued' and slow.job_ids == ['broken 0'])
    gone = rq.Queue('gone', connection=connection)
    gone.enqueue_many([rq.Queue.prepare_data(work.deliver, (i,)) for i in range(100)])
    check('a queue is emptied', gone.empty() == 100 and gone.count == 0)
    gone.delete()

    remote = rq.Queue('remote', connection=connection)
    endless = remote.enqueue(work.work_for_ever, job_id='endless')
    thread = threading.Thread(target=stop_what_begins, args=('carl',))
    thread.start()
    rq.Worker([remote], connection=connection, name='carl').work(burst=True, logging_level='CRITICAL')
    thread.join()
    check('a job is stopped from elsewhere', endless.get_status() == 'stopped' and 'endless' in rq.registry.FailedJobRegistry(queue=remote))
    remote.enqueue(work.end_worker, job_id='ends its worker')
    remote.enqueue(work.deliver, 'left', job_id='left')
    check('a worker is ended from elsewhere', rq.SimpleWorker([remote], connection=connection, name='dora').work(logging_level='CRITICAL')
          and remote.job_ids == ['left'])
    until(lambda: connection.pubsub_channels() == [])
    check('workers are gone', not rq.Worker.all(connection))
    finish()


if __name__ == '__main__':
    main()
