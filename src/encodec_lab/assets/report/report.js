"use strict";
// One player at a time; a line runs over the spectrogram, and a click on the spectrogram seeks.
const players = [...document.querySelectorAll("figure audio")];
for (const player of players) {
  const figure = player.closest("figure");
  const picture = figure.querySelector(".spectrogram");
  const playhead = picture.appendChild(document.createElement("b"));
  const follow = () => {
    playhead.style.left = `${(100 * player.currentTime) / (player.duration || 1)}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
    for (const each of document.querySelectorAll("figure.playing")) each.classList.remove("playing");
    figure.classList.add("playing");
    follow();
  });
  player.addEventListener("seeked", follow);
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    player.currentTime = ((event.clientX - box.left) / box.width) * (player.duration || 0);
    player.play();
  });
}
