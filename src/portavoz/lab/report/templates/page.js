const find = document.getElementById('find'), count = document.getElementById('count');
const rows = [...document.querySelectorAll('#checks tbody tr')];
function look() {
  const words = find.value.toLowerCase().split(/\s+/);
  let n = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
    n += !row.hidden;
  }
  count.textContent = n + ' of ' + rows.length + ' checks';
}
function linked() {
  find.value = decodeURIComponent(location.hash.slice(1));
  look();
  if (find.value) find.scrollIntoView();
}
find.addEventListener('input', look);
addEventListener('hashchange', linked);
linked();
