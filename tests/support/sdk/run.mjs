// Runs cases through the official SDK: node run.mjs SDK_DIRECTORY CASES.json RESULTS.json
// A case is {codex, options, thread, turn, input, threadId}; a result {ok, items, finalResponse, usage, threadId, error}.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [sdk, casesFile, resultsFile] = process.argv.slice(2);
const { Codex } = await import(pathToFileURL(`${sdk}/dist/index.js`));
const cases = JSON.parse(readFileSync(casesFile, "utf8"));
const results = new Array(cases.length);
let next = 0;

async function worker() {
  while (next < cases.length) {
    const index = next++;
    const { options, thread: threadOptions, turn, input, threadId } = cases[index];
    let thread;
    try {
      const codex = new Codex(options);
      thread = threadId ? codex.resumeThread(threadId, threadOptions) : codex.startThread(threadOptions);
      results[index] = { ok: true, ...(await thread.run(input, turn)), threadId: thread.id };
    } catch (error) {
      results[index] = { ok: false, error: String(error.message).slice(0, 500), threadId: thread?.id ?? null };
    }
  }
}

await Promise.all([worker(), worker(), worker()]);
writeFileSync(resultsFile, JSON.stringify(results));
