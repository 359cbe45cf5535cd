// The page's data is the whole test; what a listener does is kept in the browser until the answers are downloaded.
const test = JSON.parse(atob(document.getElementById('data').textContent));
const main = document.getElementById('main'), title = main.dataset.title;
const GRADES = ['Bad', 'Poor', 'Fair', 'Good', 'Excellent'];
const HELP = {
  mos: 'You hear one sound at a time. How good is its quality?',
  ab: 'You hear two sounds of the same words. Which one is better?',
  mushra: 'Grade each sound beside the reference, which is 100. One of them is the reference itself.',
};
const KEYS = {
  mos: '<kbd>space</kbd> plays, <kbd>1</kbd> … <kbd>5</kbd> grade, <kbd>enter</kbd> goes on, <kbd>⌫</kbd> back',
  ab: '<kbd>a</kbd> and <kbd>b</kbd> play, <kbd>←</kbd> <kbd>↓</kbd> <kbd>→</kbd> choose, <kbd>enter</kbd> goes on, ' +
    '<kbd>⌫</kbd> back',
  mushra: '<kbd>0</kbd> plays the reference, <kbd>1</kbd> … the others at the same place, <kbd>↑</kbd> <kbd>↓</kbd> ' +
    'grade (with <kbd>shift</kbd> by 10), <kbd>space</kbd> stops, <kbd>enter</kbd> goes on, <kbd>⌫</kbd> back',
};

// Sounds

const player = new Audio();
let sounding = null, from = 0;

function play(clip, at = 0) {
  from = at;
  sounding = clip;
  clip.plays += 1;
  if (player.src !== clip.sound) player.src = clip.sound; else start();
  paint();
}

function start() {
  player.currentTime = from;
  player.play().catch(() => { /* another sound was asked for meanwhile */ });
}

player.addEventListener('loadedmetadata', () => { if (sounding) start(); });

function stop() { player.pause(); sounding = null; paint(); }

player.addEventListener('ended', () => {
  if (sounding) sounding.heard = true;
  sounding = null;
  paint();
});

// Order: the same for the same seed and listener

function generator(text) {
  let a = 2166136261;
  for (const letter of text) a = Math.imul(a ^ letter.codePointAt(0), 16777619);
  return () => {
    a = (a + 0x6D2B79F5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(list, random) {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

// State

const KEY = `portavoz-listening-${test.page}`;
let state = null, trials = [], at = 0, shownAt = 0, selected = 0;

function remembered() {
  try { return JSON.parse(localStorage.getItem(KEY)); } catch { return null; }
}

function remember() {
  try { localStorage.setItem(KEY, JSON.stringify({ ...state, at })); } catch { /* private windows keep nothing */ }
}

function begin(listener, from) {
  state = from || { listener, started: new Date().toISOString(), answers: {} };
  const random = generator(`${test.seed}/${state.listener}`);
  trials = shuffled(test.trials.map((trial, number) => ({ ...trial, number })), random).map(trial => ({
    ...trial,
    clips: shuffled(trial.clips, random).map(clip => ({ ...clip, plays: 0, heard: false })),
    reference: trial.reference && { sound: trial.reference, plays: 0, heard: false },
    seconds: 0,
  }));
  for (const trial of trials) {
    // An answer that was given was listened to.
    if (state.answers[trial.number]) for (const clip of trial.clips) clip.heard = true;
  }
  go(Math.min(from?.at || 0, trials.length - 1));
}

const trial = () => trials[at];
const answer = () => state.answers[trial().number];

function put(value) {
  state.answers[trial().number] = value;
  remember();
  paint();
}

function complete() {
  const given = answer();
  if (given === undefined || !trial().clips.every(clip => clip.heard)) return false;
  return test.test !== 'mushra' || trial().clips.every((_, i) => given[i] !== null && given[i] !== undefined);
}

function go(to) {
  player.pause();
  sounding = null;
  at = to;
  selected = 0;
  shownAt = performance.now();
  remember();
  if (at >= trials.length) return finish();
  show();
}

function leave(by) {
  if (by > 0 && !complete()) return;
  if (at + by < 0) return;
  trial().seconds += (performance.now() - shownAt) / 1000;
  go(at + by);
}

// Screens

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function html(tag, text, properties = {}) { return Object.assign(element(tag, properties), { innerHTML: text }); }

function welcome() {
  const name = element('input', { type: 'text', id: 'name', autocomplete: 'off', ariaLabel: 'your name' });
  const before = remembered();
  const start = element('button', { className: 'primary', id: 'start' }, 'Begin');
  const form = element('form', {}, element('p', {}, 'Your name, or any word that stands for you:'), name,
    element('p', { className: 'row' }, start));
  form.addEventListener('submit', event => {
    event.preventDefault();
    if (name.value.trim()) begin(name.value.trim(), null); else name.focus();
  });
  const parts = [element('h1', {}, title), element('p', {}, HELP[test.test]),
    element('p', {}, `${test.trials.length} screens. Use headphones in a quiet place; every sound is heard to its end.`),
    html('p', KEYS[test.test], { className: 'soft' })];
  if (before && before.listener) {
    const on = element('button', { className: 'primary', id: 'resume' }, `Go on as ${before.listener}`);
    on.addEventListener('click', () => begin(before.listener, before));
    parts.push(element('p', { className: 'row' }, on));
  }
  main.replaceChildren(...parts, form);
  name.focus();
}

function control(clip, label) {
  const made = html('button', `${label} <span class=tick>✓</span>`, { type: 'button' });
  clip.button = made;
  made.addEventListener('click', () => choose(clip));
  return made;
}

function choose(clip) {
  if (test.test === 'mushra') {
    const i = trial().clips.indexOf(clip);
    if (i >= 0) selected = i;
    if (sounding === clip) return stop();
    return play(clip, sounding ? player.currentTime : 0);
  }
  if (sounding === clip) stop(); else play(clip);
}

function show() {
  const now = trial();
  const parts = [element('progress', { max: trials.length, value: at }), element('p', { id: 'text' }, now.text)];
  parts.push(...{ mos: mosScreen, ab: abScreen, mushra: mushraScreen }[test.test](now));
  const next = element('button', { className: 'primary', id: 'next' }, 'Next');
  const back = element('button', { id: 'back', disabled: at === 0 }, 'Back');
  next.addEventListener('click', () => leave(1));
  back.addEventListener('click', () => leave(-1));
  const where = element('span', { className: 'soft', id: 'where' });
  parts.push(element('div', { className: 'foot' }, back, where, next), html('p', KEYS[test.test], { className: 'soft' }));
  main.replaceChildren(...parts);
  paint();
}

function option(label, small, value) {
  const made = element('button', { type: 'button', className: 'option' }, label, element('small', {}, small));
  made.dataset.value = value;
  made.addEventListener('click', () => put(value));
  return made;
}

function mosScreen(now) {
  return [element('div', { className: 'row sounds' }, control(now.clips[0], 'Play')),
    element('div', { className: 'row even' }, ...GRADES.map((grade, i) => option(String(i + 1), grade, i + 1)))];
}

function abScreen(now) {
  const sounds = now.clips.map((clip, i) => control(clip, 'AB'[i]));
  const options = [option('A', 'is better', 'first'), option('–', 'no preference', 'none'),
    option('B', 'is better', 'second')];
  return [element('div', { className: 'row even sounds' }, ...sounds),
    element('div', { className: 'row even' }, ...options)];
}

function mushraScreen(now) {
  const scale = element('div', { className: 'scale' }, ...[...GRADES].reverse().map(grade => element('span', {}, grade)));
  const faders = now.clips.map((clip, i) => {
    const slider = element('input', { type: 'range', min: 0, max: 100, ariaLabel: `grade of sound ${i + 1}` });
    slider.addEventListener('input', () => { selected = i; grade(i, Number(slider.value)); });
    return element('div', { className: 'fader' }, control(clip, String(i + 1)), slider, element('output'));
  });
  return [element('div', { className: 'row sounds' }, control(now.reference, 'Reference')),
    element('div', { className: 'faders' }, scale, ...faders)];
}

function grade(i, value) {
  const given = [...(answer() || trial().clips.map(() => null))];
  given[i] = Math.max(0, Math.min(100, value));
  put(given);
}

function paint() {
  const now = state && trials[at];
  if (!now) return;
  for (const clip of [...now.clips, now.reference].filter(Boolean)) {
    clip.button.classList.toggle('playing', clip === sounding);
    clip.button.classList.toggle('heard', clip.heard);
  }
  for (const one of main.querySelectorAll('.option')) one.ariaPressed = String(one.dataset.value === String(answer()));
  main.querySelectorAll('.fader').forEach((fader, i) => {
    const value = answer()?.[i];
    fader.classList.toggle('unrated', value === null || value === undefined);
    fader.classList.toggle('selected', i === selected);
    fader.querySelector('input').value = value ?? 50;
    fader.querySelector('output').textContent = value ?? '–';
  });
  document.getElementById('next').disabled = !complete();
  const hint = complete() ? '' : test.test === 'ab' ? ', hear both to the end and choose' : ', hear to the end and grade';
  document.getElementById('where').textContent = `${at + 1} of ${trials.length}${hint}`;
}

function finish() {
  const save = element('button', { className: 'primary', id: 'save' }, 'Download the answers');
  const back = element('button', { id: 'back' }, 'Back');
  save.addEventListener('click', download);
  back.addEventListener('click', () => go(trials.length - 1));
  main.replaceChildren(element('h1', {}, 'Thank you.'),
    element('p', {}, 'The answers are in this browser only. Download them, and send the file to whoever asked you.'),
    element('p', { className: 'row' }, save, back));
  save.focus();
}

// Answers

function answers() {
  return trials.flatMap((now, place) => {
    const given = state.answers[now.number];
    const about = { sentence: now.sentence, place, seconds: Math.round(now.seconds * 10) / 10 };
    const plays = now.clips.map(clip => clip.plays), systems = now.clips.map(clip => clip.system);
    if (test.test === 'ab') return [{ ...about, first: systems[0], second: systems[1], preferred: given, plays }];
    const scores = test.test === 'mos' ? [given] : given;
    return scores.map((score, i) => ({ ...about, system: systems[i], score, plays: plays[i] }));
  });
}

function download() {
  const result = {
    format: 'portavoz-listening-result', version: 1, page: test.page, test: test.test, seed: test.seed,
    listener: state.listener, started: state.started, finished: new Date().toISOString(), answers: answers(),
  };
  const file = new Blob([JSON.stringify(result, null, 1)], { type: 'application/json' });
  const link = element('a', { href: URL.createObjectURL(file), download: `answers-${test.page}-${slug()}.json` });
  link.click();
  try { localStorage.removeItem(KEY); } catch { /* nothing was kept */ }
}

const slug = () => state.listener.replace(/[^\p{L}\p{N}]+/gu, '-').slice(0, 40);

// Keys

document.addEventListener('keydown', event => {
  if (!state || at >= trials.length || event.ctrlKey || event.altKey || event.metaKey) return;
  const done = act(event.key, event.shiftKey);
  if (done) event.preventDefault();
});

function act(key, shift) {
  const clips = trial().clips;
  if (key === 'Enter') { leave(1); return true; }
  if (key === 'Backspace') { leave(-1); return true; }
  if (key === ' ' && (sounding || test.test === 'mos')) {
    if (sounding) stop(); else choose(clips[0]);
    return true;
  }
  if (test.test === 'mos' && /^[1-5]$/.test(key)) { put(Number(key)); return true; }
  if (test.test === 'ab') {
    const choice = { ArrowLeft: 'first', ArrowDown: 'none', ArrowRight: 'second' }[key];
    const clip = { a: clips[0], b: clips[1] }[key.toLowerCase()];
    if (choice) put(choice); else if (clip) choose(clip);
    return Boolean(choice || clip);
  }
  if (test.test === 'mushra') {
    const clip = key === '0' ? trial().reference : clips[Number(key) - 1];
    if (/^[0-9]$/.test(key) && clip) { choose(clip); return true; }
    const by = { ArrowUp: 1, ArrowDown: -1 }[key];
    if (by) { grade(selected, (answer()?.[selected] ?? 50) + by * (shift ? 10 : 1)); return true; }
  }
  return false;
}

welcome();
