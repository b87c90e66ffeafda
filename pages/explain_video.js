"use strict";
// One frame at a time: the slider chooses it, and so does a bar of the charts.
(() => {
  const slider = document.getElementById("frame");
  const number = document.getElementById("frame-number");
  const frames = document.querySelectorAll("[data-shown]");
  const bars = document.querySelectorAll("[data-frame]");
  const show = () => {
    for (const frame of frames) frame.hidden = frame.dataset.shown !== slider.value;
    for (const bar of bars) bar.classList.toggle("on", bar.dataset.frame === slider.value);
    number.textContent = slider.value;
  };
  slider.addEventListener("input", show);
  for (const bar of bars) {
    if (Number(bar.dataset.frame) > Number(slider.max)) continue;
    bar.classList.add("shown");
    bar.addEventListener("click", () => {
      slider.value = bar.dataset.frame;
      show();
    });
  }
  show();
})();
