"use strict";
// Shows one layer of masks over the image. Arrow keys work, because the choices are radio buttons.
const legend = document.getElementById("difference-legend");
for (const choice of document.querySelectorAll("input[name=layer]")) {
  choice.addEventListener("change", () => {
    for (const layer of document.querySelectorAll(".layer")) layer.hidden = layer.dataset.layer !== choice.value;
    legend.hidden = choice.value !== "difference";
  });
}
// "Back" keeps the filters of the list.
const back = document.getElementById("back");
if (document.referrer.startsWith(new URL(back.href).href)) back.href = document.referrer;
