"use strict";
// The page of a video editor: choose files, upload them as one job, follow the jobs, compare, download.

const byId = (id) => document.getElementById(id);
const BUSY_MS = 1000, IDLE_MS = 5000;

/* ---- words ---- */

function sizeText(bytes) {
  const units = ["bytes", "KB", "MB", "GB"];
  let value = bytes, unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function durationText(seconds) {
  if (seconds < 10) return "a few seconds";
  if (seconds < 50) return `about ${Math.round(seconds / 10) * 10} seconds`;
  const minutes = Math.max(1, Math.round(seconds / 60));
  if (minutes < 60) return minutes === 1 ? "about a minute" : `about ${minutes} minutes`;
  const hours = Math.floor(minutes / 60), rest = minutes % 60;
  return `about ${hours} h${rest ? ` ${rest} min` : ""}`;
}

function dateText(iso) {
  const date = new Date(iso), today = new Date();
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === today.toDateString()) return `Today, ${clock}`;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${clock}`;
}

function plural(count, noun) { return count === 1 ? `1 ${noun}` : `${count} ${noun}s`; }

const STAGES = { plate: "Looking at the background", matte: "Cutting people out", encode: "Writing the video" };

function statusText(video, job) {
  if (video.state === "done") return video.frames_total ? `Finished, ${plural(video.frames_total, "frame")}` : "Finished";
  if (video.state === "failed") return video.error ? video.error.message : "This video could not be processed.";
  if (video.state === "waiting") return waitingText(video, job);
  let text = STAGES[video.stage] || "Starting";
  if (video.frames_total) text += `, frame ${video.frames_done} of ${video.frames_total}`;
  if (video.seconds_left !== null) text += `, ${durationText(video.seconds_left)} left`;
  return text;
}

function waitingText(video, job) {
  if (job.state !== "running") return "Waiting";
  const next = job.videos.find((other) => other.state === "waiting" || other.state === "running");
  return next === video ? "Starting" : "Starts after the video before it";
}

function jobTitle(job) {
  const states = {
    queued: job.jobs_ahead ? `Waiting for ${plural(job.jobs_ahead, "other job")}` : "Starts in a moment",
    running: "In progress", done: "Finished", failed: "Not finished",
  };
  return `${plural(job.videos.length, "video")} · ${states[job.state]}`;
}

/* ---- elements ---- */

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function setText(element, text) { if (element.textContent !== text) element.textContent = text; }

function link(text, address, className) {
  const element = make("a", className, text);
  element.href = address;
  return element;
}

/* ---- upload ---- */

let chosen = [];
let request = null;

function addFiles(files) {
  const known = new Set(chosen.map((file) => `${file.name}/${file.size}/${file.lastModified}`));
  for (const file of files) if (!known.has(`${file.name}/${file.size}/${file.lastModified}`)) chosen.push(file);
  showChosen();
}

function showChosen() {
  const list = byId("chosen");
  list.replaceChildren(...chosen.map((file) => {
    const item = make("li"), remove = make("button", "", "\u00d7");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => { chosen = chosen.filter((other) => other !== file); showChosen(); });
    item.append(make("span", "", file.name), make("span", "quiet", sizeText(file.size)), remove);
    return item;
  }));
  list.hidden = chosen.length === 0;
  byId("start").disabled = chosen.length === 0 || request !== null;
  setText(byId("start"), chosen.length ? `Start with ${plural(chosen.length, "file")}` : "Start");
  showError("");
}

function showError(message) {
  byId("form-error").hidden = !message;
  setText(byId("form-error"), message);
}

function chosenKind() { return document.querySelector("input[name=kind]:checked").value; }

function showKind() {
  for (const kind of ["color", "file", "blur"]) byId(`option-${kind}`).hidden = kind !== chosenKind();
}

function chooseColor(color) {
  byId("color").value = color;
  for (const swatch of byId("swatches").querySelectorAll("button")) {
    swatch.setAttribute("aria-pressed", String(swatch.dataset.color === color));
  }
}

function formData() {
  const data = new FormData(), kind = chosenKind();
  data.append("format", byId("format").value);
  if (kind === "color") data.append("background", byId("color").value);
  if (kind === "blur") data.append("background", "blur");
  if (kind === "file") data.append("background_file", byId("background-file").files[0]);
  for (const file of chosen) data.append("files", file, file.name);
  return data;
}

function upload(event) {
  event.preventDefault();
  if (!chosen.length || request) return;
  if (chosenKind() === "file" && !byId("background-file").files.length) {
    showError("Choose a picture or video for the background, or use a color.");
    return;
  }
  request = new XMLHttpRequest();
  request.open("POST", "/api/jobs");
  request.setRequestHeader("Idempotency-Key", newKey());
  request.responseType = "json";
  const begin = performance.now();
  request.upload.addEventListener("progress", (progress) => showSending(progress, begin));
  request.addEventListener("load", () => endUpload(request.status, request.response));
  request.addEventListener("error", () => endUpload(0, null));
  request.addEventListener("abort", () => endUpload(-1, null));
  byId("sending").hidden = false;
  byId("start").hidden = true;
  showError("");
  showSending({ loaded: 0, total: chosen.reduce((sum, file) => sum + file.size, 0) }, begin);
  request.send(formData());
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function showSending(progress, begin) {
  const share = progress.total ? progress.loaded / progress.total : 0;
  byId("sending-bar").style.width = `${100 * share}%`;
  if (share >= 1) {
    setText(byId("sending-text"), "Checking the files");
    return;
  }
  const seconds = (performance.now() - begin) / 1000;
  const left = share > 0.02 && seconds > 2 ? `, ${durationText(seconds / share - seconds)} left` : "";
  setText(byId("sending-text"), `Uploading ${sizeText(progress.loaded)} of ${sizeText(progress.total)}${left}`);
}

function endUpload(status, answer) {
  request = null;
  byId("sending").hidden = true;
  byId("start").hidden = false;
  if (status === 201) {
    chosen = [];
    byId("files").value = "";
  }
  showChosen();
  if (status === 401) location.reload();
  else if (status === 0) showError("The upload was interrupted. Check your connection and try again.");
  else if (status > 0 && status !== 201) showError(answer?.error?.message || "The server could not take the files. Try again later.");
  refresh();
}

/* ---- jobs ---- */

const cards = new Map();

function jobCard(job) {
  const card = make("article", "card job"), head = make("div", "job-head"), about = make("div", "about");
  const title = make("h3", "job-title"), details = make("p", "quiet"), actions = make("div", "actions");
  const error = make("p", "job-error"), videos = make("div", "videos");
  const all = link("Download all", "", "button small"), remove = make("button", "plain", "Delete");
  const dot = make("span", "dot");
  const words = { color: "", image: `on ${job.background.value}`, video: `on ${job.background.value}`, blur: "on the blurred room" };
  if (job.background.kind === "color") {
    dot.style.background = job.background.value;
    details.append(make("span", "", dateText(job.created_at)), dot);
  } else {
    details.append(make("span", "", `${dateText(job.created_at)}, ${words[job.background.kind]}`));
  }
  all.setAttribute("download", "");
  remove.type = "button";
  remove.addEventListener("click", () => confirmDelete(card.job));
  about.append(title, details);
  actions.append(all, remove);
  head.append(about, actions);
  card.append(head, error, videos);
  card.parts = { title, error, videos, all, remove, rows: new Map() };
  card.dataset.job = job.id;
  return card;
}

function updateCard(card, job) {
  const { title, error, videos, all, remove, rows } = card.parts;
  card.job = job;
  card.dataset.state = job.state;
  setText(title, jobTitle(job));
  const message = job.error && !job.videos.some((video) => video.error) ? job.error.message : "";
  error.hidden = !message;
  setText(error, message);
  all.hidden = !job.result || job.videos.length < 2;
  if (job.result) all.href = job.result;
  setText(remove, job.state === "running" ? "Stop" : "Delete");
  for (const video of job.videos) {
    if (!rows.has(video.number)) {
      rows.set(video.number, videoRow(video));
      videos.append(rows.get(video.number));
    }
    updateRow(rows.get(video.number), video, job);
  }
}

function videoRow(video) {
  const row = make("div", "video"), thumb = make("button", "thumb"), image = make("img");
  const name = make("div", "name", video.name), status = make("div", "status"), text = make("div");
  const bar = make("div", "bar"), fill = make("i"), actions = make("div", "actions");
  thumb.type = "button";
  image.alt = "";
  thumb.append(image);
  name.title = video.name;
  bar.append(fill);
  status.append(text, bar);
  const live = make("figure", "live"), latest = make("img");
  latest.alt = "Latest frame, before and after";
  live.append(latest);
  row.append(thumb, name, status, actions, live);
  row.parts = { thumb, image, text, bar, fill, actions, live, latest };
  thumb.addEventListener("click", () => { if (row.video.comparison) openCompare(row.video); else if (row.video.video) openPlayer(row.video); });
  return row;
}

function updateRow(row, video, job) {
  const { thumb, image, text, bar, fill, actions, live, latest } = row.parts;
  row.className = `video ${video.state}`;
  setText(text, statusText(video, job));
  bar.hidden = video.state !== "running";
  bar.className = video.frames_total ? "bar" : "bar unknown";
  fill.style.width = video.frames_total ? `${100 * video.frames_done / video.frames_total}%` : "";
  const isLive = video.state === "running" && Boolean(video.preview);
  image.hidden = !video.preview;
  live.hidden = !isLive;
  for (const shown of isLive ? [image, latest] : [image]) {
    if (video.preview && shown.getAttribute("src") !== video.preview) shown.src = video.preview;
  }
  thumb.disabled = !video.comparison && !video.video;
  thumb.setAttribute("aria-label", video.comparison ? `Compare ${video.name}` : `Play ${video.name}`);
  const signature = [video.comparison, video.video, video.result].join();
  if (row.signature !== signature) actions.replaceChildren(...videoActions(video));
  row.signature = signature;
  row.video = video;
}

function videoActions(video) {
  const made = [];
  if (video.comparison) {
    const compare = make("button", "button secondary small", "Compare");
    compare.type = "button";
    compare.addEventListener("click", () => openCompare(video));
    made.push(compare);
  }
  if (video.video) {
    const play = make("button", "button secondary small", "Play");
    play.type = "button";
    play.addEventListener("click", () => openPlayer(video));
    made.push(play);
  }
  if (video.result) {
    const download = link("Download", video.result, "button small");
    download.setAttribute("download", "");
    made.push(download);
  }
  return made;
}

function showJobs(jobs) {
  const list = byId("jobs"), present = new Set(jobs.map((job) => job.id));
  for (const [id, card] of cards) if (!present.has(id)) { card.remove(); cards.delete(id); }
  jobs.forEach((job, index) => {
    if (!cards.has(job.id)) cards.set(job.id, jobCard(job));
    const card = cards.get(job.id);
    if (list.children[index] !== card) list.insertBefore(card, list.children[index] || null);
    updateCard(card, job);
  });
  byId("empty").hidden = jobs.length > 0;
}

let timer = 0, isRefreshing = false, refreshAgain = false;

async function refresh() {
  clearTimeout(timer);
  if (isRefreshing) { refreshAgain = true; return; }
  isRefreshing = true;
  let isBusy = true;
  try {
    const answer = await fetch("/api/jobs", { cache: "no-store" });
    if (answer.status === 401) { location.reload(); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    const { jobs } = await answer.json();
    byId("offline").hidden = true;
    showJobs(jobs);
    isBusy = jobs.some((job) => job.state === "running" || job.state === "queued");
  } catch {
    byId("offline").hidden = false;
  } finally {
    isRefreshing = false;
    timer = setTimeout(refresh, refreshAgain ? 0 : isBusy ? BUSY_MS : IDLE_MS);
    refreshAgain = false;
  }
}

function confirmDelete(job) {
  const dialog = byId("confirm"), isRunning = job.state === "running";
  setText(byId("confirm-title"), isRunning ? "Stop and delete?" : "Delete?");
  setText(byId("confirm-text"), `${plural(job.videos.length, "video")} and all results will be deleted from the server.`);
  dialog.returnValue = "keep";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "delete") return;
    await fetch(`/api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
    refresh();
  };
  dialog.showModal();
}

/* ---- compare and play ---- */

let compared = null;

function openCompare(video) {
  compared = video;
  setText(byId("compare-title"), video.name);
  byId("moment").max = String(Math.max(0, video.moments - 1));
  byId("moment").value = String(Math.floor(video.moments / 2));
  byId("moment").parentElement.hidden = video.moments < 2;
  byId("split").value = "50";
  showSplit();
  showMoment();
  byId("compare").showModal();
}

function showMoment() {
  const number = byId("moment").value.padStart(2, "0");
  for (const side of ["before", "after"]) byId(side).src = `${compared.comparison}/${side}-${number}.jpg`;
}

function showSplit() {
  const share = Number(byId("split").value);
  byId("before").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
  byId("handle").style.left = `${share}%`;
}

function openPlayer(video) {
  setText(byId("player-title"), video.name);
  byId("player-video").src = video.video;
  byId("player").showModal();
}

/* ---- events ---- */

byId("files").addEventListener("change", (event) => { addFiles(event.target.files); event.target.value = ""; });
byId("upload").addEventListener("submit", upload);
byId("sending-stop").addEventListener("click", () => request?.abort());
byId("color").addEventListener("input", (event) => chooseColor(event.target.value));
for (const choice of document.querySelectorAll("input[name=kind]")) choice.addEventListener("change", showKind);
for (const swatch of byId("swatches").querySelectorAll("button")) {
  swatch.style.background = swatch.dataset.color;
  swatch.addEventListener("click", () => chooseColor(swatch.dataset.color));
}
byId("background-file").addEventListener("change", (event) => {
  setText(byId("background-name"), event.target.files[0]?.name || "It is scaled to fill the frame.");
  showError("");
});
byId("split").addEventListener("input", showSplit);
byId("moment").addEventListener("input", showMoment);
byId("compare-close").addEventListener("click", () => byId("compare").close());
byId("player-close").addEventListener("click", () => byId("player").close());
byId("player").addEventListener("close", () => { byId("player-video").removeAttribute("src"); byId("player-video").load(); });
for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => { event.preventDefault(); byId("drop").classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    if (kind === "drop" || event.relatedTarget === null) byId("drop").classList.remove("over");
  });
}
window.addEventListener("drop", (event) => addFiles(event.dataTransfer.files));
window.addEventListener("beforeunload", (event) => { if (request) event.preventDefault(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

chooseColor("#00b140");
showKind();
refresh();
