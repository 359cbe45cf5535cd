// The page: sends a text, plays the sound while it is made, draws it, and marks the word that is heard.
import {Drawing} from "./spectrum.js";

const RATE = 24000, LEAD = 0.15; // Hz of the samples that come; seconds before the first of them sounds
const $ = id => document.getElementById(id);
const drawing = new Drawing($("wave"), $("mel"));
let running = null; // {abort, audio, pieces, words, end, seconds}
let voices = [], models = [];

function say(text, state, warnings = []) {
  $("status").textContent = text;
  $("warnings").hidden = !warnings.length;
  $("warnings").replaceChildren(...warnings.map(warning => {
    const item = document.createElement("li");
    item.textContent = warning;
    return item;
  }));
  if (state) document.body.dataset.state = state;
}

function headers() {
  const key = $("key").value;
  return {"Content-Type": "application/json", ...(key ? {Authorization: `Bearer ${key}`} : {})};
}

async function ask(path, body, signal) {
  const options = body ? {method: "POST", body: JSON.stringify(body)} : {};
  const answer = await fetch(path, {...options, headers: headers(), signal});
  if (answer.ok) return answer;
  if (answer.status === 401) { $("keyed").hidden = false; $("key").focus(); }
  const problem = await answer.json().catch(() => null);
  throw new Error(problem?.error?.message ?? `The server answered ${answer.status}.`);
}

function fill(select, entries) {
  const before = select.value;
  select.replaceChildren(...entries.map(([value, name]) => new Option(name, value)));
  if (entries.some(([value]) => value === before)) select.value = before;
}

function fillVoices() {
  const own = voices.filter(v => v.model === $("model").value || v.model === null);
  fill($("voice"), own.map(v => [v.id, v.name]));
  fillMixture();
}

/** Whom the voice can be mixed with, where its model mixes its speakers. */
function fillMixture() {
  const model = $("model").value, voice = $("voice").value;
  const named = voices.filter(v => v.model === model && v.id !== "default").map(v => v.id);
  const others = models.find(m => m.id === model)?.mixes && named.includes(voice) ? named.filter(v => v !== voice) : [];
  $("mixing").hidden = !others.length;
  fill($("second"), [["", "none"], ...others.map(v => [v, v])]);
  showMixture();
}

function showMixture() {
  const second = $("second").value, share = Number($("share").value);
  $("sharing").hidden = !second;
  $("mixture").value = second ? `${100 - share} % ${$("voice").value}, ${share} % ${second}` : "";
  $("share").setAttribute("aria-valuetext", $("mixture").value);
}

function speaker() {
  const second = $("second").value, share = Number($("share").value);
  return second ? `${$("voice").value}:${100 - share}+${second}:${share}` : $("voice").value;
}

async function load() {
  try {
    models = (await (await ask("v1/models")).json()).data;
    const listed = await (await ask("v1/audio/voices")).json();
    voices = listed.voices;
    fill($("model"), models.map(m => [m.id, m.id]));
    fill($("format"), listed.formats.map(f => [f, f.toUpperCase()]));
    fillVoices();
    say("Ready.", "idle");
  } catch (error) {
    say(error.message, "failed");
  }
}

function request() {
  return {model: $("model").value, voice: speaker(), input: $("text").value, speed: Number($("speed").value)};
}

/** The values of server-sent events as they come. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}

function samples(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({length: bytes.length >> 1}, (_, i) => view.getInt16(2 * i, true) / 32768);
}

/** Play samples behind what is planned already, or soon, where the sound has come too late. */
function play(run, sound) {
  const buffer = run.audio.createBuffer(1, sound.length, RATE);
  buffer.copyToChannel(sound, 0);
  const source = run.audio.createBufferSource();
  source.buffer = buffer;
  source.connect(run.audio.destination);
  const at = Math.max(run.end, run.audio.currentTime + (run.pieces.length ? 0.02 : LEAD));
  source.start(at);
  run.pieces.push({at, from: run.seconds});
  run.seconds += sound.length / RATE;
  run.end = at + sound.length / RATE;
}

/** What is heard now, in seconds of the sound. */
function position(run) {
  const now = run.audio.currentTime;
  const piece = run.pieces.findLast(p => p.at <= now);
  return piece ? Math.min(run.seconds, piece.from + now - piece.at) : 0;
}

function addWords(run, words) {
  for (const word of words) {
    const span = document.createElement("span");
    span.textContent = word.word;
    $("words").append(span, " ");
    run.words.push({...word, span});
  }
}

function mark(run, now) {
  const heard = run.words.findLast(w => w.start <= now);
  for (const word of run.words) word.span.classList.toggle("now", word === heard && now < run.seconds);
}

function watch(run) {
  if (run !== running) return;
  const now = position(run);
  drawing.draw(now);
  mark(run, now);
  if (run.complete && run.audio.currentTime >= run.end) {
    return finish(run, `${run.seconds.toFixed(1)} seconds.`, "done");
  }
  requestAnimationFrame(() => watch(run));
}

function finish(run, text, state) {
  if (run !== running) return;
  run.abort.abort();
  run.audio.close();
  mark(run, Infinity);
  running = null;
  $("stop").disabled = true;
  say(text, state, run.warnings);
}

async function speak() {
  if (running) finish(running, "", "idle");
  const run = running = {abort: new AbortController(), audio: new AudioContext({sampleRate: RATE}), pieces: [],
                         words: [], warnings: [], end: 0, seconds: 0, complete: false};
  const timed = models.find(m => m.id === $("model").value)?.timed !== false;
  $("words").replaceChildren();
  $("drawing").hidden = false;
  drawing.reset(RATE);
  $("stop").disabled = false;
  say("Speaking …", "speaking");
  watch(run);
  try {
    const body = {...request(), response_format: "pcm", stream_format: "sse", timestamps: timed};
    const answer = await ask("v1/audio/speech", body, run.abort.signal);
    for await (const event of events(answer.body)) {
      if (run !== running) return;
      if (event.type === "error") throw new Error(event.error.message);
      if (event.type === "speech.audio.timestamps") addWords(run, event.words);
      if (event.type === "speech.audio.delta") {
        const sound = samples(event.audio);
        drawing.add(sound);
        play(run, sound);
      }
      if (event.type === "speech.audio.done") { run.complete = true; run.warnings = event.warnings ?? []; }
    }
    if (!run.complete) throw new Error("The connection was lost.");
  } catch (error) {
    finish(run, error.name === "AbortError" ? "Stopped." : error.message, "failed");
  }
}

async function download() {
  const format = $("format").value;
  if (!$("form").reportValidity()) return;
  $("download").disabled = true;
  say("Making the file …");
  try {
    const answer = await ask("v1/audio/speech", {...request(), response_format: format, stream: false});
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `speech.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    const warnings = answer.headers.get("X-Portavoz-Warnings");
    say(`speech.${format} is saved.`, "done", warnings ? JSON.parse(warnings) : []);
  } catch (error) {
    say(error.message, "failed");
  } finally {
    $("download").disabled = false;
  }
}

$("form").addEventListener("submit", event => { event.preventDefault(); speak(); });
$("stop").addEventListener("click", () => running && finish(running, "Stopped.", "idle"));
$("download").addEventListener("click", download);
$("model").addEventListener("change", fillVoices);
$("voice").addEventListener("change", fillMixture);
$("second").addEventListener("change", showMixture);
$("share").addEventListener("input", showMixture);
$("key").addEventListener("change", load);
$("speed").addEventListener("input", () => { $("shown").value = Number($("speed").value).toFixed(1); });
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
  if (event.key === "Escape" && running) finish(running, "Stopped.", "idle");
});
new ResizeObserver(() => running || drawing.draw(drawing.seconds)).observe($("wave"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => running || drawing.draw(drawing.seconds));
load();
