// Evaluates the rule of the `route` job, and the `runs-on` of the job that follows it, with GitHub's own expression library.
// Usage: node route.mjs WORKFLOW, with a list of {"github": ..., "vars": ..., "strategy": ...} on stdin. Prints what each
// `runs-on` of `web` would be.
import { readFileSync } from "node:fs";
import { Evaluator, Lexer, Parser, data, wellKnownFunctions } from "@actions/expressions";
import { parse } from "yaml";

const { route, web } = parse(readFileSync(process.argv[2], "utf8")).jobs;

const functions = Object.values(wellKnownFunctions);

// The value of a text that is one `${{ expression }}`; whatever it is, it becomes a text, as in `env` and `outputs`.
function evaluate(text, contexts) {
  const [, expression] = /^\$\{\{([^]*)\}\}$/.exec(text.trim());
  const { tokens } = new Lexer(expression).lex();
  const tree = new Parser(tokens, Object.keys(contexts), functions).parse();
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  return new Evaluator(tree, known).evaluate();
}

const answers = JSON.parse(readFileSync(0, "utf8")).map(({ strategy, ...contexts }) => {
  const TRUSTED = evaluate(route.env.TRUSTED, contexts).coerceString();
  const outputs = { "runs-on": evaluate(route.outputs["runs-on"], { ...contexts, env: { TRUSTED } }).coerceString() };
  // `github.job` is not known yet where GitHub reads `runs-on`.
  const { github, vars } = contexts;
  const runsOn = evaluate(web["runs-on"], { github, vars, strategy, needs: { route: { outputs } } });
  return runsOn.values().map((label) => label.coerceString());
});
process.stdout.write(JSON.stringify(answers));
