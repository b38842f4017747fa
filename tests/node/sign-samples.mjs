// Prints every sample payload GitHub gives for its webhooks, as JSON and signed with GitHub's own library.
// Usage: node sign-samples.mjs SECRET
import { createRequire } from "node:module";
import { sign } from "@octokit/webhooks-methods";

const secret = process.argv[2];
const groups = createRequire(import.meta.url)("@octokit/webhooks-examples");
const signed = groups.flatMap(({ name, examples }) =>
  examples.map(async (example) => {
    const body = JSON.stringify(example);
    return { event: name, body, signature: await sign(secret, body) };
  }),
);
process.stdout.write(JSON.stringify(await Promise.all(signed)));
