"use strict";
for (const box of document.querySelectorAll(".searched")) {
  const field = box.querySelector("input"), said = box.querySelector("output"), all = said.textContent;
  const folded = [...box.querySelectorAll(":scope > details")];
  const words = folded.map((each) => each.querySelector("summary").textContent.toLowerCase());
  field.addEventListener("input", () => {
    const asked = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let several = 0;
    folded.forEach((each, i) => {
      each.hidden = !asked.every((word) => words[i].includes(word));
      several += !each.hidden;
    });
    said.textContent = asked.length ? `${several} of ${all}` : all;
  });
  box.querySelector(".unfold").addEventListener("click", (event) => {
    const shown = folded.filter((each) => !each.hidden), open = shown.some((each) => !each.open);
    shown.forEach((each) => { each.open = open; });
    event.target.textContent = open ? "Fold what is shown" : "Unfold what is shown";
  });
}
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.of);
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
addEventListener("hashchange", () => {
  for (let each = document.querySelector(location.hash || null); each; each = each.parentElement) {
    if (each.tagName === "DETAILS") each.open = true;
  }
});
