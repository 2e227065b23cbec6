// Tells the server the reader's zone, and shows the times of this first page in it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const root = document.documentElement;

if (zone && zone !== root.dataset.zone) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `zekt-zone=${zone}; path=/; max-age=31536000; samesite=lax${secure}`;
  const now = new Date();
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = shown(new Date(time.dateTime), now);
  }
  for (const name of document.querySelectorAll("[data-zone-name]")) name.textContent = zone;
}

function shown(at, now) {
  const two = (number) => String(number).padStart(2, "0");
  const minute = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (at.toDateString() === now.toDateString()) return `${minute}:${two(at.getSeconds())}`;
  const month = at.toLocaleString("en", { month: "short" });
  const year = at.getFullYear() === now.getFullYear() ? "" : ` ${at.getFullYear()}`;
  return `${at.getDate()} ${month}${year}, ${minute}`;
}
