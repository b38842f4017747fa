// Evaluates the rule of the `route` job with GitHub's own expression library.
// Usage: node route.mjs WORKFLOW, with a list of {"github": ..., "vars": ...} on stdin. Prints what each `runs-on` would be.
import { readFileSync } from "node:fs";
import { Evaluator, Lexer, Parser, data, wellKnownFunctions } from "@actions/expressions";
import { parse } from "yaml";

const { env, outputs } = parse(readFileSync(process.argv[2], "utf8")).jobs.route;

const functions = Object.values(wellKnownFunctions);

// The value of a text that is one `${{ expression }}`; whatever it is, it becomes a text, as in `env` and `outputs`.
function evaluate(text, contexts) {
  const [, expression] = /^\$\{\{([^]*)\}\}$/.exec(text.trim());
  const { tokens } = new Lexer(expression).lex();
  const tree = new Parser(tokens, Object.keys(contexts), functions).parse();
  const known = JSON.parse(JSON.stringify(contexts), data.reviver);
  return new Evaluator(tree, known).evaluate().coerceString();
}

const answers = JSON.parse(readFileSync(0, "utf8")).map((contexts) => {
  const TRUSTED = evaluate(env.TRUSTED, contexts);
  return JSON.parse(evaluate(outputs["runs-on"], { ...contexts, env: { TRUSTED } }));
});
process.stdout.write(JSON.stringify(answers));
