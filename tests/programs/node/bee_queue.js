// bee-queue, unmodified, with its events off (they are PUBLISH's, and so are its delays): bee_queue.js PORT DATABASE
const Queue = require("bee-queue");
const { check, finish, until } = require("./check.js")("bee-queue");

const redis = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]) };
const settings = { redis, sendEvents: false, getEvents: false, stallInterval: 100 };
const done = new Map();
const tell = (key) => done.set(key, (done.get(key) || 0) + 1);

async function main() {
  const producer = new Queue("bees", { ...settings, isWorker: false });
  await producer.ready();
  for (let i = 0; i < 50; i++) await producer.createJob({ name: "plain", i }).save();
  for (let i = 0; i < 5; i++) {
    await producer.createJob({ name: "twice", i }).retries(2).save();
    await producer.createJob({ name: "never", i }).retries(1).save();
    await producer.createJob({ name: "named", i }).setId(`named ${i}`).save();
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

  const worker = new Queue("bees", { ...settings, stallInterval: 5000 });
  await worker.ready();
  const ended = { succeeded: 0, failed: 0, retrying: 0 };
  for (const event of Object.keys(ended)) worker.on(event, () => ended[event]++);
  worker.process(1, async (job) => {
    const { name, i } = job.data;
    tell(`${name} ${i}`);
    if (name === "twice" && done.get(`${name} ${i}`) < 3) throw new Error("not yet");
    if (name === "never") throw new Error("never");
    return i * i;
  });
  await until(() => ended.succeeded === 50 + 5 + 5 + 30 && ended.failed === 5 + 15); // a retry is announced as both
  const expected = (key) => (key.startsWith("twice") ? 3 : key.startsWith("never") ? 2 : 1);
  check("none is lost and none is doubled", done.size === 95 && [...done].every(([key, n]) => n === expected(key)));
  check("retries", ended.retrying === 5 * 2 + 5);
  check("failed ones are kept", (await producer.getJobs("failed", { size: 100 })).length === 5);
  check("so are succeeded ones", (await producer.getJobs("succeeded", { size: 100 })).length === 90);
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
