// One BullMQ queue: bullmq.js PORT QUEUE JOBS WORKERS. A line "ready", then a line of JSON: how long, what was lost and what was doubled.
// Of ten jobs one waits for 50 ms, one fails at its first try and is tried again 20 ms later, and eight are done at once.
const path = require("path");
const { Queue, Worker } = require(path.join(__dirname, "../../tests/programs/node/node_modules/bullmq"));

const [port, name, jobs, workers] = process.argv.slice(2).map((word) => (/^[0-9]+$/.test(word) ? Number(word) : word));
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };

async function main() {
  // So long that no event is trimmed: which ones are would hinge on who came first.
  const queue = new Queue(name, { connection, streams: { events: { maxLen: 10 * jobs } } });
  await queue.waitUntilReady();
  console.log("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const tries = new Int32Array(jobs);
  const began = performance.now();
  let completed = 0;
  let tellEnd;
  const end = new Promise((resolve) => (tellEnd = resolve));
  const running = Array.from({ length: workers }, () => {
    const worker = new Worker(name, async (job) => {
      if (++tries[job.data.n] === 1 && job.data.n % 10 === 1) throw new Error("try again");
      return job.data.n;
    }, { connection, concurrency: 8 });
    worker.on("completed", () => ++completed === jobs && tellEnd());
    return worker;
  });
  for (let from = 0; from < jobs; from += 500) {
    await queue.addBulk(Array.from({ length: Math.min(500, jobs - from) }, (_, i) => {
      const n = from + i;
      const how = n % 10 === 0 ? { delay: 50 } : n % 10 === 1 ? { attempts: 3, backoff: { type: "fixed", delay: 20 } } : {};
      return { name: "job", data: { n }, opts: { ...how, jobId: `job ${n}` } };
    }));
  }
  await end;
  const seconds = (performance.now() - began) / 1000;
  await Promise.all(running.map((worker) => worker.close()));
  const expected = (n) => (n % 10 === 1 ? 2 : 1);
  const counts = await queue.getJobCounts();
  console.log(JSON.stringify({
    seconds,
    lost: tries.filter((times, n) => times < expected(n)).length + jobs - counts.completed,
    doubled: tries.filter((times, n) => times > expected(n)).length,
  }));
  process.exit(0);
}
main();
