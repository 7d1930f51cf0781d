"use strict";
// Shows one layer of masks over the image. Arrow keys work, because the choices are radio buttons.

function showLayer() {
  const choice = document.querySelector("input[name=layer]:checked");
  if (!choice) return;
  for (const layer of document.querySelectorAll(".layer")) layer.hidden = layer.dataset.layer !== choice.value;
  document.getElementById("difference-legend").hidden = choice.value !== "difference";
}

for (const choice of document.querySelectorAll("input[name=layer]")) choice.addEventListener("change", showLayer);
showLayer(); // a choice made before this script ran, or restored by the browser, counts as well

// "Back" keeps the filters of the list.
const back = document.getElementById("back");
if (document.referrer.startsWith(new URL(back.href).href)) back.href = document.referrer;
