// BullMQ, unmodified, doing a mail service's work: bullmq.js PORT DATABASE
const { Queue, Worker, QueueEvents, FlowProducer, Job } = require("bullmq");
const { check, finish, until } = require("./check.js")("bullmq");

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]), maxRetriesPerRequest: null };
const fast = { type: "fixed", delay: 20 };
const done = new Map(); // what was done -> how often
const tell = (key) => done.set(key, (done.get(key) || 0) + 1);

async function main() {
  const queue = new Queue("mail", { connection });
  const events = new QueueEvents("mail", { connection });
  await events.waitUntilReady();
  const process = async (job) => {
    tell(`${job.name} ${job.data.to}`);
    await job.updateProgress(50);
    if (job.name === "twice" && job.attemptsMade < 2) throw new Error("no answer yet");
    if (job.name === "never") throw new Error("no such mailbox");
    if (job.name === "log") await job.log("a line");
    return { sent: job.data.to };
  };

  // All are there before a worker is, so that each server sees the same order.
  await queue.pause();
  await queue.addBulk(Array.from({ length: 40 }, (_, i) => ({ name: "plain", data: { to: i } })));
  for (let i = 0; i < 5; i++) {
    await queue.add("late", { to: i }, { delay: 40 * (i + 1) });
    await queue.add("first", { to: i }, { priority: 5 - i });
    await queue.add("twice", { to: i }, { attempts: 3, backoff: fast });
    await queue.add("never", { to: i }, { attempts: 2, backoff: fast });
    await queue.add("log", { to: i }, { removeOnComplete: i % 2 === 0 });
    await queue.add("last in", { to: i }, { lifo: true });
  }
  const same = await Promise.all([1, 2, 3].map(() => queue.add("plain", { to: "same" }, { jobId: "same" })));
  check("a job's own id is taken once", same.every((job) => job.id === "same"));
  const once = await queue.add("plain", { to: "once" }, { deduplication: { id: "d", ttl: 60000 } });
  const again = await queue.add("plain", { to: "again" }, { deduplication: { id: "d", ttl: 60000 } });
  check("a job is deduplicated", once.id === again.id);
  const counts = await queue.getJobCounts();
  check("counts", counts.delayed === 5 && counts.prioritized === 5 && counts.waiting === 40 + 20 + 2);
  const removed = await queue.add("plain", { to: "removed" });
  await removed.remove();
  check("a removed job is gone", (await Job.fromId(queue, removed.id)) === undefined);

  const worker = new Worker("mail", process, { connection, concurrency: 1 });
  const late = await queue.add("late", { to: "promoted" }, { delay: 3600000 });
  await late.promote();
  const waited = await queue.add("plain", { to: "waited for" });
  const answer = waited.waitUntilFinished(events, 20000);
  await queue.resume();
  check("a result is waited for", (await answer).sent === "waited for");
  await until(async () => (await queue.getCompletedCount()) === 40 + 4 * 5 + 2 + 2 + 2 && (await queue.getFailedCount()) === 5);
  const expected = (key) => (key.startsWith("twice") ? 3 : key.startsWith("never") ? 2 : 1);
  check("none is lost and none is doubled", done.size === 40 + 6 * 5 + 4 && [...done].every(([key, n]) => n === expected(key)));
  check("the newest goes first", [...done.keys()][0] === "last in 4");
  const firsts = [...done.keys()].filter((key) => key.startsWith("first"));
  check("priorities are kept", firsts.join() === "first 4,first 3,first 2,first 1,first 0");
  const failed = (await queue.getFailed()).filter((job) => job.name === "never");
  check("a job fails for good", failed.length === 5 && failed.every((job) => job.attemptsMade === 2 && /mailbox/.test(job.failedReason)));
  await failed[0].retry();
  await until(() => done.get(`never ${failed[0].data.to}`) === 3);
  check("a failed job is tried again", true);
  await until(async () => (await queue.getFailedCount()) === 5);
  await worker.close();

  // A family: the parent waits for its children.
  const family = new Worker("family", async (job) => job.data.n ?? Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0), { connection });
  const flow = new FlowProducer({ connection });
  const children = [1, 2, 3].map((n) => ({ name: "child", queueName: "family", data: { n } }));
  const { job: parent } = await flow.add({ name: "parent", queueName: "family", data: {}, children });
  await until(async () => (await Job.fromId(familyQueue, parent.id)).returnvalue === 6);
  check("a parent sums its children up", true);
  await family.close();

  // What comes again and again, and at most so fast.
  const clock = new Queue("clock", { connection });
  let ticks = 0;
  const ticker = new Worker("clock", async () => ++ticks, { connection, limiter: { max: 2, duration: 100 } });
  await clock.upsertJobScheduler("tick", { every: 50, limit: 5 }, { name: "tick", opts: { removeOnComplete: true } });
  await until(() => ticks === 5);
  await until(async () => (await clock.getActiveCount()) === 0);
  check("a scheduler ticks to its limit", ticks === 5);
  await ticker.close();
  await clock.obliterate({ force: true }); // it holds how late each tick came

  // A worker that dies in the middle of a job: another finds it stalled.
  const stalls = new Queue("stalls", { connection });
  await stalls.add("stall", {});
  const dead = new Worker("stalls", null, { connection, lockDuration: 50 });
  const taken = await dead.getNextJob("dead's token");
  check("a job is taken by hand", taken.name === "stall");
  const rescuer = new Worker("stalls", async () => "rescued", { connection, stalledInterval: 60 });
  await until(async () => (await Job.fromId(stalls, taken.id)).returnvalue === "rescued");
  check("a stalled job is rescued", true);
  await Promise.all([dead.close(), rescuer.close()]);

  const gone = new Queue("gone", { connection });
  await gone.addBulk(Array.from({ length: 1500 }, (_, i) => ({ name: "never done", data: i })));
  await gone.obliterate();
  check("an obliterated queue is gone", (await gone.getJobCountByTypes("wait")) === 0);
  await queue.clean(0, 10, "completed");
  await queue.add("stays", { to: "delayed" }, { delay: 3600000 });
  await queue.add("stays", { to: "prioritized" }, { priority: 7 });
  await queue.add("stays", { to: "waiting" });
  await Promise.all([queue, events, flow, familyQueue, clock, stalls, gone].map((each) => each.close()));
  finish();
}
const familyQueue = new Queue("family", { connection });
main().catch(finish);
