// Photographs with the camera of this machine, several of one thing if wanted; on a phone the phone's own camera.

import { closeDialog, openDialog } from "./dialogs.js";
import { byId, show } from "./elements.js";
import { plural } from "./words.js";

const isPhone = () => matchMedia("(pointer: coarse)").matches;
// There only where the page came over HTTPS or from this machine: browsers give no camera to others.
const hasCamera = () => Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);

let stream = null;
let turn = 0; // the number of the last opening: a camera that is granted to an older one is switched off at once
let taken = [];

/** Offer the camera where there can be one; `onphotos` gets the photographs of one thing. */
export function listenToCamera(onphotos) {
  show(byId("camera"), isPhone() || hasCamera());
  byId("camera").addEventListener("click", () => (isPhone() ? byId("snap").click() : openCamera()));
  byId("snap").addEventListener("change", (event) => {
    onphotos([...event.target.files]);
    event.target.value = "";
  });
  byId("camera-take").addEventListener("click", take);
  byId("camera-done").addEventListener("click", () => {
    const photos = taken;
    closeDialog("camera-dialog");
    onphotos(photos);
  });
}

async function openCamera() {
  const mine = ++turn;
  taken = [];
  showTaken();
  byId("camera-take").disabled = true;
  say("Waiting for the camera …");
  openDialog("camera-dialog", stop);
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (mine !== turn) {
      switchOff(opened);
      return;
    }
    stream = opened;
    byId("camera-video").srcObject = opened;
    await byId("camera-video").play();
    if (mine !== turn) return;
    byId("camera-take").disabled = false;
    byId("camera-take").focus();
    say("");
  } catch (error) {
    if (mine === turn) say(`The camera cannot be used: ${error.message}`);
  }
}

const switchOff = (opened) => opened.getTracks().forEach((track) => track.stop());

function stop() {
  turn += 1;
  if (stream) switchOff(stream);
  stream = null;
  byId("camera-video").srcObject = null;
}

function take() {
  const video = byId("camera-video");
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    taken.push(new File([blob], `photo ${taken.length + 1}.jpg`, { type: "image/jpeg" }));
    showTaken();
  }, "image/jpeg", 0.92);
}

function showTaken() {
  byId("camera-done").textContent = taken.length > 0 ? `Search with ${plural(taken.length, "photo")}` : "Search";
  byId("camera-done").disabled = taken.length === 0;
}

function say(text) {
  byId("camera-status").textContent = text;
  show(byId("camera-status"), text !== "");
}
