// Lays "after" over "before" with a handle to drag. Without it the two stand side by side; figures never need it.
"use strict";
(function () {
  document.querySelectorAll(".stage").forEach(function (stage) {
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = "0";
    slider.max = "100";
    slider.step = "1";
    slider.value = "50";
    slider.setAttribute("aria-label", stage.dataset.label);
    const grip = document.createElement("span");
    grip.className = "grip";
    grip.setAttribute("aria-hidden", "true");
    const move = function () {
      stage.style.setProperty("--cut", slider.value + "%");
      slider.setAttribute("aria-valuetext", 100 - slider.value + stage.dataset.share);
    };
    slider.addEventListener("input", move);
    stage.append(grip, slider);
    move();
  });
  document.documentElement.classList.add("js");
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (details) { details.open = true; });
  });
})();
