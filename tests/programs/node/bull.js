// Bull, unmodified, doing a mail service's work: bull.js PORT DATABASE
const Queue = require("bull");
const { check, finish, until } = require("./check.js")("bull");

const redis = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]) };
const fast = { type: "fixed", delay: 20 };
const done = new Map();
const tell = (key) => done.set(key, (done.get(key) || 0) + 1);

async function main() {
  const queue = new Queue("mail", { redis });
  await queue.isReady();
  const heard = { completed: 0, failed: 0 };
  queue.on("global:completed", () => heard.completed++);
  queue.on("global:failed", () => heard.failed++);
  await queue.pause();
  await queue.addBulk(Array.from({ length: 30 }, (_, i) => ({ name: "plain", data: { to: i } })));
  for (let i = 0; i < 5; i++) {
    await queue.add("late", { to: i }, { delay: 40 * (i + 1) });
    await queue.add("first", { to: i }, { priority: 5 - i });
    await queue.add("twice", { to: i }, { attempts: 3, backoff: fast });
    await queue.add("never", { to: i }, { attempts: 2, backoff: fast });
    await queue.add("removed", { to: i }, { removeOnComplete: true });
    await queue.add("last in", { to: i }, { lifo: true });
  }
  const gone = await queue.add("plain", { to: "gone" });
  await gone.remove();
  check("a removed job is gone", (await queue.getJob(gone.id)) === null);
  queue.process("*", 1, async (job) => {
    tell(`${job.name} ${job.data.to}`);
    await job.progress(50);
    if (job.name === "twice" && job.attemptsMade < 2) throw new Error("no answer yet");
    if (job.name === "never") throw new Error("no such mailbox");
    return { sent: job.data.to };
  });
  const waited = await queue.add("plain", { to: "waited for" });
  const answer = waited.finished();
  await queue.resume();
  check("a result is waited for", (await answer).sent === "waited for");
  await until(async () => (await queue.getCompletedCount()) === 30 + 4 * 5 + 1 && (await queue.getFailedCount()) === 5);
  const expected = (key) => (key.startsWith("twice") ? 3 : key.startsWith("never") ? 2 : 1);
  check("none is lost and none is doubled", done.size === 30 + 6 * 5 + 1 && [...done].every(([key, n]) => n === expected(key)));
  await until(() => heard.completed + heard.failed >= 30 + 6 * 5 + 1);
  check("all that ended is heard of", heard.completed === 30 + 5 * 5 + 1 && heard.failed === 5);
  await queue.whenCurrentJobsFinished();
  await queue.add("stays", {}, { delay: 3600000 });
  await queue.close();
  finish();
}
main().catch(finish);
