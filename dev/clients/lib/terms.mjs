// How a test client talks with the test that started it: options on the command line, events as
// JSON lines on standard output, commands as JSON lines on standard input. The client ends when
// its standard input does, so that it never outlives the test.
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import readline from 'node:readline';
import { parseArgs } from 'node:util';

/** Loads a package from the folder of the test tools. */
export function tool(name) {
  const folder = process.env.INVER_TOOLS;
  if (!folder) fail('INVER_TOOLS does not name the folder of the test tools');
  try {
    return createRequire(path.join(folder, 'node', 'package.json'))(name);
  } catch (error) {
    fail(`${name} is missing: run \`cargo xtask setup\` (${error.message})`);
  }
}

/** Options as `{name: value}`; every option is a string. */
export function options(names) {
  const known = Object.fromEntries(names.map((name) => [name, { type: 'string' }]));
  const { values, positionals } = parseArgs({ options: known, allowPositionals: true });
  return { ...values, role: positionals[0] };
}

/** Tells the test what happened. */
export function emit(event, fields = {}) {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
}

/** Tells the test why the client cannot go on, and ends. */
export function fail(message) {
  emit('failed', { message: String(message) });
  process.exit(1);
}

/**
 * Performs the test's commands, one at a time. `handlers` maps the command's `do` to a function
 * of the command; what it returns goes out as the event `done`. `close` runs at the end.
 */
export async function obey(handlers, close) {
  process.on('unhandledRejection', (error) => fail(error?.stack ?? error));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    const handler = handlers[command.do];
    if (!handler) fail(`no command ${command.do}`);
    emit('done', { do: command.do, ...(await handler(command)) });
  }
  await close();
  process.exit(0);
}
