// @ts-check
// The dead letters' page for operators: lists, redrives, discards. Served as it is, without a build, so that it is there
// when everything else is broken. What comes from the API is only ever set as text.

/** @typedef {{ id: string, state: string, cursor: string, subscriber: string, error: string, deliveryCount: number,
 *    firstDeliveredAt: string, lastDeliveredAt: string, healedAt: string | null,
 *    activity: { title: string, type: string } | null }} Letter */

const PAGE = 50;
const REFRESH_MS = 15_000;
const TOKEN = 'divisionbell.ops.token';

const LETTER = `id state cursor subscriber error deliveryCount firstDeliveredAt lastDeliveredAt healedAt activity { title type }`;
const LIST = `query DeadLetters($first: Int!, $after: String, $state: DeadLetterState) {
  deadLetters(first: $first, after: $after, state: $state) { nodes { ${LETTER} } pageInfo { hasNextPage endCursor } }
}`;
const ALARMS = '{ health { alarms } }';
/** @param {'redriveDeadLetter' | 'discardDeadLetter'} name */
const settling = (name) => `mutation Settle($id: ID!) {
  ${name}(id: $id) { ... on DeadLetterSettled { letter { ${LETTER} } } ... on DeadLetterRefused { message current { ${LETTER} } } }
}`;

/** @template {HTMLElement} E @param {string} selector @returns {E} */
function find(selector) {
  const found = document.querySelector(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return /** @type {E} */ (found);
}

const view = {
  access: /** @type {HTMLFormElement} */ (find('#access')),
  token: /** @type {HTMLInputElement} */ (find('#token')),
  alarms: find('#alarms'),
  state: /** @type {HTMLSelectElement} */ (find('#state')),
  refresh: find('#refresh'),
  redriveShown: find('#redrive-shown'),
  status: find('#status'),
  table: find('table'),
  rows: find('tbody'),
  more: find('#more'),
  dialog: /** @type {HTMLDialogElement} */ (find('dialog')),
};

let endpoint = '../graphql';
let token = '';
/** @type {Letter[]} */
let letters = [];
/** @type {string | null} */
let older = null;
let busy = false;
let again = false;

/** Ask the API. Throws an Error with a sentence for the operator. @param {string} query @param {object} variables @param {{ quietly?: boolean }} how */
async function ask(query, variables, { quietly = false } = {}) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ query, variables }),
  }).catch(() => { throw new Error('The server could not be reached.'); });
  const answer = await response.json().catch(() => { throw new Error(`The server answered ${response.status}.`); });
  const [refusal] = answer.errors ?? [];
  if (refusal) {
    if (!quietly && ['UNAUTHENTICATED', 'FORBIDDEN'].includes(refusal.extensions?.code)) view.access.hidden = false;
    throw new Error(refusal.message);
  }
  return answer.data;
}

/** Read the newest page, or one more, and show it. @param {{ after?: string | null, quietly?: boolean }} how */
async function load({ after = null, quietly = false } = {}) {
  again ||= busy && !quietly; // somebody asked for another list while one was on its way
  if (!token || busy) return;
  await doing(async () => {
    const state = view.state.value || null;
    // A refresh reads as many as are shown (100 at most): what somebody is looking at does not jump.
    const first = after ? PAGE : Math.min(100, Math.max(PAGE, letters.length));
    const { deadLetters } = await ask(LIST, { first, after, state });
    letters = after ? [...letters, ...deadLetters.nodes] : deadLetters.nodes;
    older = deadLetters.pageInfo.hasNextPage ? deadLetters.pageInfo.endCursor : null;
    view.access.hidden = true;
    show();
    // Asked apart: whoever may settle letters need not be allowed to read.
    const alarms = await ask(ALARMS, {}, { quietly: true }).then(({ health }) => health.alarms, () => []);
    view.alarms.textContent = alarms.join(' ');
    view.alarms.hidden = alarms.length === 0;
    if (!quietly) say(count());
  });
}

/** Redrive or discard some, one after another, and tell what became of them. @param {'redriveDeadLetter' | 'discardDeadLetter'} name @param {readonly Letter[]} chosen */
async function settle(name, chosen) {
  await doing(async () => {
    const problems = [];
    let settled = 0;
    for (const { id } of chosen) {
      const outcome = (await ask(settling(name), { id }))[name];
      settled += outcome.letter ? 1 : 0;
      if (outcome.message) problems.push(outcome.message);
      const now = outcome.letter ?? outcome.current;
      letters = letters.map((letter) => (letter.id === id && now ? now : letter));
      show();
    }
    const done = name === 'redriveDeadLetter' ? 'redriven: devices that are connected have it, others get it when they come back' : 'discarded';
    say([`${settled} ${done}.`, ...problems].join(' '));
  });
}

/** @param {() => Promise<void>} work */
async function doing(work) {
  if (busy) return;
  busy = true;
  document.body.setAttribute('aria-busy', 'true');
  try {
    await work();
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  } finally {
    busy = false;
    document.body.removeAttribute('aria-busy');
  }
  if (again) {
    again = false;
    await load();
  }
}

/** @param {string} text @param {boolean} failed */
function say(text, failed = false) {
  view.status.textContent = text;
  view.status.classList.toggle('failed', failed);
}

function count() {
  if (letters.length === 0) return view.state.value === 'DEAD' ? 'Nothing waits for a decision.' : 'There are none.';
  return `${letters.length} shown${older ? ', and there are older ones' : ''}.`;
}

function show() {
  const waiting = letters.filter((letter) => letter.state === 'DEAD');
  view.rows.replaceChildren(...letters.map(row));
  view.table.hidden = letters.length === 0;
  view.more.hidden = older === null;
  view.redriveShown.hidden = waiting.length < 2;
  view.redriveShown.textContent = `Redrive all ${waiting.length}`;
}

/** @param {Letter} letter */
function row(letter) {
  const line = document.createElement('tr');
  line.dataset.id = letter.id;
  line.append(
    cell(letter.activity ? letter.activity.title : 'It cannot be read', `${letter.activity?.type ?? ''} ${letter.cursor}`),
    cell(letter.subscriber === '*' ? 'everybody' : letter.subscriber),
    cell(letter.error),
    cell(String(letter.deliveryCount)),
    cell(when(letter.lastDeliveredAt), `first ${when(letter.firstDeliveredAt)}`),
    cell(letter.healedAt ? 'HEALED' : letter.state, letter.healedAt ? when(letter.healedAt) : ''),
    decisions(letter),
  );
  return line;
}

/** @param {string} text @param {string} beneath */
function cell(text, beneath = '') {
  const made = document.createElement('td');
  made.append(text);
  if (beneath.trim()) {
    const small = document.createElement('small');
    small.textContent = beneath;
    made.append(small);
  }
  return made;
}

/** @param {Letter} letter */
function decisions(letter) {
  const made = document.createElement('td');
  if (letter.state !== 'DEAD') return made;
  const about = letter.activity?.title ?? letter.cursor;
  made.append(
    button('Redrive', `Redrive ${about}`, () => settle('redriveDeadLetter', [letter])),
    button('Discard', `Discard ${about}`, async () => {
      const to = letter.subscriber === '*' ? 'anybody' : letter.subscriber;
      if (await agreed(`“${about}” will not be delivered to ${to} any more. This cannot be undone.`, 'Discard it')) {
        await settle('discardDeadLetter', [letter]);
      }
    }),
  );
  return made;
}

/** @param {string} text @param {string} name @param {() => void} act */
function button(text, name, act) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  made.setAttribute('aria-label', name);
  made.addEventListener('click', act);
  return made;
}

/** @param {string} at */
function when(at) {
  return new Date(at).toLocaleString();
}

/** @param {string} question @param {string} yes @returns {Promise<boolean>} */
function agreed(question, yes) {
  const [yesButton, noButton] = [find('#yes'), find('#no')];
  find('#question').textContent = question;
  yesButton.textContent = yes;
  view.dialog.returnValue = '';
  view.dialog.showModal();
  yesButton.onclick = () => view.dialog.close('yes');
  noButton.onclick = () => view.dialog.close();
  return new Promise((resolve) => {
    view.dialog.addEventListener('close', () => resolve(view.dialog.returnValue === 'yes'), { once: true });
  });
}

/** The token of this browser tab; else that of the demo's operator. @param {{ name: string, token: string }[]} identities */
function knownToken(identities) {
  return sessionStorage.getItem(TOKEN) ?? identities.find(({ name }) => name === 'Operator')?.token ?? '';
}

async function start() {
  const config = await (await fetch('./config.json')).json();
  endpoint = config.endpoint;
  token = knownToken(config.identities);
  view.access.hidden = token !== '';
  await load();
}

view.access.addEventListener('submit', (event) => {
  event.preventDefault();
  token = view.token.value.trim().replace(/^bearer\s+/i, '').replace(/["'\s]/g, '');
  view.token.value = '';
  sessionStorage.setItem(TOKEN, token);
  void load();
});
view.state.addEventListener('change', () => { letters = []; void load(); });
view.refresh.addEventListener('click', () => void load());
view.more.addEventListener('click', () => void load({ after: older }));
view.redriveShown.addEventListener('click', async () => {
  const waiting = letters.filter((letter) => letter.state === 'DEAD');
  if (await agreed(`${waiting.length} dead letters will be delivered after all.`, 'Redrive them')) {
    await settle('redriveDeadLetter', waiting);
  }
});
setInterval(() => { if (!document.hidden && !view.dialog.open) void load({ quietly: true }); }, REFRESH_MS);
start().catch((error) => say(String(error), true));
