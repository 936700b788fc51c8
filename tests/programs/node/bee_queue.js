// bee-queue, unmodified, doing a hive's work: bee_queue.js PORT DATABASE
const Queue = require("bee-queue");
const { check, finish, until } = require("./check.js")("bee-queue");

const redis = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]) };
const settings = { redis, stallInterval: 100 };
const done = new Map();
const tell = (key) => done.set(key, (done.get(key) || 0) + 1);

async function main() {
  const producer = new Queue("bees", { ...settings, isWorker: false });
  await producer.ready();
  const heard = { succeeded: 0, failed: 0, retrying: 0, progress: 0 };
  for (const event of Object.keys(heard)) producer.on(`job ${event}`, () => heard[event]++);
  const answers = [];
  for (let i = 0; i < 50; i++) await producer.createJob({ name: "plain", i }).save();
  for (let i = 0; i < 5; i++) {
    await producer.createJob({ name: "twice", i }).retries(2).backoff("fixed", 20).save();
    await producer.createJob({ name: "never", i }).retries(1).save();
    const named = await producer.createJob({ name: "named", i }).setId(`named ${i}`).save();
    named.on("succeeded", (answer) => answers.push(`${i}: ${named.progress.half}, then ${answer}`));
  }
  const many = Array.from({ length: 30 }, (_, i) => producer.createJob({ name: "bulk", i }));
  check("many are saved at once", (await producer.saveAll(many)).size === 0);
  check("an id is taken once", (await producer.createJob({ name: "again" }).setId("named 0").save()).id === null);
  const removed = await producer.createJob({ name: "removed" }).save();
  await producer.removeJob(removed.id);
  check("a removed job is gone", (await producer.getJob(removed.id)) === null);
  check("a saved one is there", (await producer.getJob("named 3")).data.name === "named");
  const health = await producer.checkHealth();
  check("health", health.waiting === 50 + 15 + 30 && health.newestJob === 50 + 10 + 30 + 1);

  // One worker that has taken a job and dies: the job has stalled, and another takes it.
  const dead = new Queue("bees", settings);
  await new Promise((resolve) => dead.process(1, () => (resolve(), new Promise(() => {}))));
  await dead.close(1).catch(() => {}); // it complains about the job that it leaves

  let stalled = 0;
  await until(async () => (stalled += await producer.checkStalledJobs()) > 0);
  check("its job has stalled", stalled === 1);

  // It looks for what is late when it is told to, and for more at once if more is due within a moment.
  const worker = new Queue("bees", { ...settings, stallInterval: 5000, activateDelayedJobs: true, delayedDebounce: 20 });
  await worker.ready();
  const ended = { succeeded: 0, failed: 0, retrying: 0 };
  for (const event of Object.keys(ended)) worker.on(event, () => ended[event]++);
  worker.process(1, async (job) => {
    const { name, i } = job.data;
    tell(`${name} ${i}`);
    if (name === "twice" && done.get(`${name} ${i}`) < 3) throw new Error("not yet");
    if (name === "never") throw new Error("never");
    if (name === "named") await job.reportProgress({ half: i / 2 });
    return i * i;
  });
  await until(() => ended.succeeded > 0);
  const soon = Date.now() + 100;
  await producer.saveAll(Array.from({ length: 5 }, (_, i) => producer.createJob({ name: "late", i }).delayUntil(soon + 30 * (5 - i))));
  await until(() => ended.succeeded === 50 + 5 + 5 + 30 + 5 && ended.failed === 5 + 15); // a retry is announced as both
  const expected = (key) => (key.startsWith("twice") ? 3 : key.startsWith("never") ? 2 : 1);
  check("none is lost and none is doubled", done.size === 100 && [...done].every(([key, n]) => n === expected(key)));
  check("retries", ended.retrying === 5 * 2 + 5);
  check("failed ones are kept", (await producer.getJobs("failed", { size: 100 })).length === 5);
  check("so are succeeded ones", (await producer.getJobs("succeeded", { size: 100 })).length === 95);
  check("what is late comes when it is due", [...done.keys()].filter((key) => key.startsWith("late")).join() === "late 4,late 3,late 2,late 1,late 0");
  await until(() => heard.succeeded + heard.failed >= 95 + 5);
  check("all that ended is heard of", heard.succeeded === 95 && heard.failed === 5 && heard.retrying === 15 && heard.progress === 5);
  check("progress and answers are heard of", answers.sort().join() === "0: 0, then 0,1: 0.5, then 1,2: 1, then 4,3: 1.5, then 9,4: 2, then 16");
  await worker.close();

  const gone = new Queue("gone", settings);
  await gone.createJob({}).save();
  await gone.destroy();
  check("a destroyed queue is gone", (await gone.checkHealth()).waiting === 0);
  await gone.close();
  await producer.createJob({ name: "stays" }).save();
  await producer.close();
  finish();
}
main().catch(finish);
