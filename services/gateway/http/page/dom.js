// What every part of the page needs. Text goes into the page as text only.

export const $ = (id) => document.getElementById(id);

export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

export const shortTime = (time) => time.slice(0, 16).replace("T", " ");
