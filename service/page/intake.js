// Pictures come in: chosen, dropped or pasted. What is dropped on "another view" joins the question.

import { byId } from "./elements.js";

const NO_FILE = "That was no file. Save the picture first, or copy it and paste it here.";

/** Listen for pictures: `onfiles` begins a question with them, `onmore` adds to it, `onproblem` says what is wrong. */
export function listenForPictures(onfiles, onmore, onproblem) {
  const drop = byId("drop");
  for (const [id, use] of [["files", onfiles], ["more", onmore]]) {
    byId(id).addEventListener("change", (event) => {
      use([...event.target.files]);
      event.target.value = ""; // so that the same file can be chosen again
    });
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length === 0) onproblem(new Error(NO_FILE));
    else if (event.target.closest && event.target.closest("#more-tile")) onmore(files);
    else onfiles(files);
  });
  document.addEventListener("paste", (event) => {
    if (event.clipboardData.files.length > 0) onfiles([...event.clipboardData.files]);
  });
}
