// One sound at a time; a click on a picture plays from there, a number switches columns without losing the place.
const clips = [...document.querySelectorAll('.clip')];
let current = null;

const audio = clip => clip.querySelector('audio');

function stop() {
  if (current) { audio(current).pause(); current.classList.remove('playing'); mark(current, '▶'); }
}

function mark(clip, sign) { clip.querySelector('b').textContent = sign; }

function play(clip, share) {
  stop();
  current = clip;
  const sound = audio(clip), from = () => { if (share !== null) sound.currentTime = share * sound.duration; };
  if (sound.readyState) from(); else sound.addEventListener('loadedmetadata', from, { once: true });
  clip.classList.add('playing');
  mark(clip, '❚❚');
  // A sound that another one has followed must not stop that one.
  sound.play().catch(() => { if (current === clip) stop(); });
}

function place() {
  if (current) {
    const sound = audio(current), share = sound.duration ? sound.currentTime / sound.duration : 0;
    current.querySelector('i').style.left = `${100 * share}%`;
  }
  requestAnimationFrame(place);
}

for (const clip of clips) {
  const screen = clip.querySelector('.screen');
  screen.addEventListener('click', event => {
    if (event.target.tagName === 'B' || event.detail === 0) return toggle(clip);
    const box = screen.getBoundingClientRect();
    play(clip, (event.clientX - box.left) / box.width);
  });
  audio(clip).addEventListener('ended', () => { if (current === clip) stop(); });
}

function toggle(clip) {
  const sound = audio(clip);
  if (clip === current && !sound.paused) return stop();
  play(clip, sound.ended || !sound.currentTime ? 0 : null);
}

function sentence(clip, by) {
  const all = [...document.querySelectorAll('.sentence')];
  return all[all.indexOf(clip.closest('.sentence')) + by];
}

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !clips.length) return;
  const at = current || clips[0], column = [...at.parentNode.children].indexOf(at);
  if (event.key === ' ' && document.activeElement.tagName !== 'SUMMARY') {
    event.preventDefault();
    toggle(at);
  } else if (/^[1-9]$/.test(event.key)) {
    const other = at.parentNode.children[event.key - 1], sound = audio(at);
    if (other) play(other, sound.paused || sound.ended ? 0 : sound.currentTime / sound.duration);
  } else if (event.key === 'j' || event.key === 'k') {
    const next = sentence(at, event.key === 'j' ? 1 : -1);
    if (!next) return;
    next.scrollIntoView({ block: 'center' });
    play(next.querySelectorAll('.clip')[column] || next.querySelector('.clip'), 0);
  }
});
requestAnimationFrame(place);
