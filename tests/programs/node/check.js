// The checks of one program, as TAP: require("./check.js")(NAME) gives check, finish and until.
module.exports = (program) => {
  let passed = 0, failed = 0;
  function check(name, condition) {
    condition ? passed++ : failed++;
    console.log(`${condition ? "ok" : "not ok"} - ${program}: ${name}`);
  }
  // Ends the process, with what has come up if something has.
  function finish(error) {
    if (error) check(`${error.stack || error}`.replace(/\n/g, " | "), false);
    process.exit(failed || !passed ? 1 : 0);
  }
  // Asks until it's so. The runner ends a program that waits for ever.
  async function until(isSo) {
    while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return { check, finish, until };
};
