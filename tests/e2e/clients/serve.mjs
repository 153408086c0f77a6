// Lines of JSON in, lines of JSON out: {what, arguments} is answered {done} or {failed}. The end of the input ends the process.

import readline from 'node:readline';

const write = process.stdout.write.bind(process.stdout);
console.log = console.error; // a client's chatter is no answer

export async function serve(handlers) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { what, arguments: given } = JSON.parse(line);
    let answer;
    try {
      answer = { done: await handlers[what](...given) };
    } catch (error) {
      answer = { failed: { message: `${error?.message ?? error}`, name: error?.constructor?.name, ...error?.fields } };
    }
    write(`${JSON.stringify(answer)}\n`);
  }
  process.exit(0);
}
