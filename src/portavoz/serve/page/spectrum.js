// Waveform and mel spectrogram of samples that arrive piece by piece, drawn on two canvases.

const SIZE = 1024, HOP = 256, BANDS = 64, FLOOR = -9, RANGE = 9; // natural logarithms of power
const SECONDS = 8; // what is seen at once
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

/** In-place radix-2 FFT of length SIZE. */
function fft(re, im) {
  for (let i = 1, j = 0; i < SIZE; i++) {
    let bit = SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let length = 2; length <= SIZE; length <<= 1) {
    const angle = -2 * Math.PI / length, half = length >> 1;
    for (let start = 0; start < SIZE; start += length) {
      for (let k = 0; k < half; k++) {
        const c = Math.cos(angle * k), s = Math.sin(angle * k), a = start + k, b = a + half;
        const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x; im[b] = im[a] - y; re[a] += x; im[a] += y;
      }
    }
  }
}

/** Triangles on the mel scale (HTK): for each band [first bin, weights]. */
function filters(rate) {
  const mel = hz => 2595 * Math.log10(1 + hz / 700), hz = m => 700 * (10 ** (m / 2595) - 1);
  const edge = i => hz(mel(rate / 2) * i / (BANDS + 1)) * SIZE / rate;
  return Array.from({length: BANDS}, (_, b) => {
    const [low, top, high] = [edge(b), edge(b + 1), edge(b + 2)], first = Math.ceil(low), weights = [];
    for (let bin = first; bin <= high; bin++) {
      weights.push(Math.max(0, bin <= top ? (bin - low) / (top - low || 1) : (high - bin) / (high - top || 1)));
    }
    return [first, weights.length ? weights : [1]];
  });
}

function colour(value) {
  const at = Math.min(0.999, Math.max(0, value)) * (STOPS.length - 1), i = Math.floor(at), f = at - i;
  return STOPS[i].map((c, k) => c + f * (STOPS[i + 1][k] - c));
}

export class Drawing {
  constructor(wave, mel) {
    this.wave = wave; this.mel = mel;
    this.window = Float32Array.from({length: SIZE}, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / SIZE));
    this.reset(24000);
  }

  reset(rate) {
    this.rate = rate; this.bands = filters(rate);
    this.rest = new Float32Array(0); this.peaks = []; this.columns = [];
  }

  get seconds() { return this.columns.length * HOP / this.rate; }

  add(samples) {
    const all = new Float32Array(this.rest.length + samples.length);
    all.set(this.rest); all.set(samples, this.rest.length);
    let at = 0;
    for (; at + SIZE <= all.length; at += HOP) {
      const re = new Float32Array(SIZE), im = new Float32Array(SIZE);
      let low = 0, high = 0;
      for (let i = 0; i < SIZE; i++) {
        re[i] = all[at + i] * this.window[i];
        if (i < HOP) { low = Math.min(low, all[at + i]); high = Math.max(high, all[at + i]); }
      }
      fft(re, im);
      this.peaks.push([low, high]);
      this.columns.push(this.bands.map(([first, weights]) => {
        let sum = 0;
        weights.forEach((w, k) => { sum += w * (re[first + k] ** 2 + im[first + k] ** 2); });
        return (Math.log(sum + 1e-9) - FLOOR) / (RANGE + 9);
      }));
    }
    this.rest = all.slice(at);
  }

  /** The part around `now` (seconds), with a line at it. */
  draw(now) {
    const span = Math.round(SECONDS * this.rate / HOP);
    const most = Math.max(0, this.columns.length - span);
    const from = Math.min(most, Math.max(0, Math.round(now * this.rate / HOP - span / 2)));
    const shown = this.columns.slice(from, from + span);
    const cursor = (now * this.rate / HOP - from) / span;
    this.#wave(this.peaks.slice(from, from + span), span, cursor);
    this.#mel(shown, span, cursor);
  }

  #sized(canvas) {
    const scale = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, w, h);
    return [context, w, h, getComputedStyle(document.documentElement)];
  }

  #wave(peaks, span, cursor) {
    const [context, w, h, style] = this.#sized(this.wave);
    context.fillStyle = style.getPropertyValue("--wave");
    peaks.forEach(([low, high], i) => {
      const top = (1 - high) * h / 2, bottom = (1 - low) * h / 2;
      context.fillRect(i * w / span, top, Math.max(1, w / span), Math.max(1, bottom - top));
    });
    this.#line(context, w, h, cursor, style);
  }

  #mel(columns, span, cursor) {
    const [context, w, h, style] = this.#sized(this.mel);
    if (columns.length) {
      const image = new ImageData(columns.length, BANDS);
      columns.forEach((column, x) => column.forEach((value, band) => {
        const at = 4 * ((BANDS - 1 - band) * columns.length + x);
        image.data.set([...colour(value), 255], at);
      }));
      const small = new OffscreenCanvas(columns.length, BANDS);
      small.getContext("2d").putImageData(image, 0, 0);
      context.drawImage(small, 0, 0, columns.length * w / span, h);
    }
    this.#line(context, w, h, cursor, style);
  }

  #line(context, w, h, cursor, style) {
    if (cursor <= 0 || cursor > 1) return;
    context.fillStyle = style.getPropertyValue("--cursor");
    context.fillRect(cursor * w, 0, 2, h);
  }
}
