// Bugs planted on purpose, one at a time: a test of the controller has to find each. Run by `npm run mutants`
// (BUG=token: those with that word only).
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Mutant {
  bug: string;
  file: string;
  find: string;
  replace: string;
}

const MUTANTS: Mutant[] = [
  {
    bug: 'the gate lets everything through',
    file: 'gate.js',
    find: 'compareCursors(placeOf(event), cursor) > 0',
    replace: 'true',
  },
  {
    bug: 'the gate does not look for holes',
    file: 'gate.js',
    find: 'if (compareCursors(batch.after, cursor) > 0)\n        return { admitted: false };',
    replace: ';',
  },
  { bug: 'the cursor follows the batch back', file: 'gate.js', find: 'laterCursor(cursor, batch.through)', replace: 'batch.through' },
  {
    bug: 'the cursor of HELLO is taken, over the gap that follows it',
    file: 'streaming.js',
    find: "if (notice.kind !== 'HELLO') {",
    replace: 'if (true) {',
  },
  {
    bug: 'a capped replay is taken for complete',
    file: 'streaming.js',
    find: "else if (event.recovery === 'FETCH_UPDATES')\n                skipTo(t, event.through);",
    replace: "else if (event.recovery === 'FETCH_UPDATES')\n                t.s.cursor = event.through;",
  },
  {
    bug: 'the stream is kept against advice',
    file: 'asking.js',
    find: 'if (s.onAdvice && s.stream !== null) {',
    replace: 'if (false) {',
  },
  {
    bug: 'an accepted socket counts as proof',
    file: 'streaming.js',
    find: 'if (t.now - goodSince < t.proof())\n        return;',
    replace: '',
  },
  {
    bug: 'a stream that fails again and again is trusted as fast as before',
    file: 'turn.js',
    find: '2 ** Math.min(8, this.recentDemotions().length)',
    replace: '1',
  },
  {
    bug: 'Retry-After is not heard',
    file: 'streaming.js',
    find: 'const atLeast = (fault.retryAfter ?? 0) / speedOf(s);',
    replace: 'const atLeast = 0;',
  },
  {
    bug: 'a planned end counts as a failure',
    file: 'streaming.js',
    find: "announcedEnd(t, notice.retryAfterSeconds ?? 0);",
    replace: ';',
  },
  {
    bug: 'a server that refuses every token is asked for ever',
    file: 'asking.js',
    find: 'if (s.blocked && s.refusals >= MOST_REFUSALS)',
    replace: 'if (false)',
  },
  {
    bug: 'a server that says it is well is taken for one that was heard',
    file: 'asking.js',
    find: 's.refusals = 0; //',
    replace: 't.accepted(); //',
  },
  {
    bug: 'heartbeats alone look healthy',
    file: 'deadlines.js',
    find: "armed.push(['lag', stream.behindSince + timing.lag]);",
    replace: ';',
  },
  {
    bug: 'nothing is armed anew',
    file: 'asking.js',
    find: 's.openAt ??= t.now;',
    replace: ';',
  },
  {
    bug: 'polls are not armed anew',
    file: 'asking.js',
    find: 's.pollAt ??= pollInterval(s) + t.soon(t.jitter());',
    replace: ';',
  },
  {
    bug: 'a half-open stream is never given up',
    file: 'deadlines.js',
    find: "armed.push(['dead', stream.byteAt + timing.stall + timing.dead]);",
    replace: ';',
  },
  {
    bug: 'a stream that never speaks is waited for',
    file: 'deadlines.js',
    find: "armed.push(['connect', stream.startedAt + timing.connect]);",
    replace: ';',
  },
  {
    bug: 'a question that is not answered is waited for',
    file: 'deadlines.js',
    find: "['pollTimeout', after(state.poll, timing.answer)]",
    replace: "['pollTimeout', null]",
  },
  {
    bug: 'late answers count',
    file: 'asking.js',
    find: 'if (s.poll?.id !== id)\n        return;',
    replace: 'if (s.poll === null)\n        return;',
  },
  {
    bug: 'the old stream is not closed when its successor speaks',
    file: 'streaming.js',
    find: 't.abort(s.stream);\n        s.stream = s.successor;\n        s.successor = null;\n    }\n    if (s.stream?.id !== id)',
    replace: 's.stream = s.successor;\n        s.successor = null;\n    }\n    if (s.stream?.id !== id)',
  },
  {
    bug: 'a tab that no longer leads keeps its stream',
    file: 'controller.js',
    find: 't.abort(s.stream, s.successor, s.health);',
    replace: ';',
  },
  {
    bug: 'a refused token is not renewed',
    file: 'asking.js',
    find: 's.renewAt ??= t.now;',
    replace: 's.renewAt ??= t.now + 1e12;',
  },
  {
    bug: 'other tabs are not told that the log was restored',
    file: 'turn.js',
    find: "this.do({ kind: 'tell', message: { kind: 'reset', reason } });",
    replace: ';',
  },
  {
    bug: 'other tabs are not told what was made good',
    file: 'turn.js',
    find: "this.do({ kind: 'tell', message: { kind: 'other', event } });",
    replace: ';',
  },
  {
    bug: 'something is healed twice',
    file: 'turn.js',
    find: 'if (s.healed.some((one) => covers(one, event))) {',
    replace: 'if (false) {',
  },
  {
    bug: 'older read marks win',
    file: 'gate.js',
    find: 'readState.version <= known.version',
    replace: 'false',
  },
  {
    bug: 'nothing is acknowledged',
    file: 'controller.js',
    find: "t.do({ kind: 'acknowledge', through: s.cursor });",
    replace: ';',
  },
];

/** What a test that fails has to say; null if it passes. */
function run(test: string, runs = 0): string | null {
  const env = { ...process.env, RUNS: String(runs), SEED: '1', SHRINK: 'no' };
  const { status, stdout } = spawnSync(process.execPath, [test], { encoding: 'utf8', env, timeout: 60_000 });
  if (status === 0) return null;
  if (status === null) return 'the test does not end';
  const history = /after (\d+) tests[\s\S]*?Got .*?(?:rror|\]): (.*)/.exec(stdout);
  if (history) return `${history[2]} (history ${history[1]})`;
  const failed = /^not ok \d+ - (.*)$/m.exec(stdout);
  if (failed) return failed[1]!;
  throw new Error(`a mutant that does not run: ${stdout.slice(0, 2_000)}`);
}

const folder = join(import.meta.dirname, '..');
let survivors = 0;
for (const { bug, file, find, replace } of MUTANTS) {
  if (!bug.includes(process.env.BUG ?? '')) continue;
  // Beside the real ones, so that they find the same node_modules.
  const copy = mkdtempSync(join(folder, '..', 'mutant-'));
  try {
    cpSync(folder, copy, { recursive: true });
    const path = join(copy, file);
    const source = readFileSync(path, 'utf8');
    if (source.split(find).length !== 2) throw new Error(`not once in ${file}: ${find}`);
    writeFileSync(path, source.replace(find, () => replace));
    const histories = join(copy, 'controller.properties.test.js');
    // A few histories find most of them; a scenario takes longer, and many histories longest.
    const found = run(histories, 200) ?? run(join(copy, 'controller.test.js')) ?? run(histories, 3_000);
    if (found === null) survivors += 1;
    console.log(found === null ? `SURVIVED  ${bug}` : `caught    ${bug}: ${found}`);
  } finally {
    rmSync(copy, { recursive: true });
  }
}
process.exitCode = survivors === 0 ? 0 : 1;
