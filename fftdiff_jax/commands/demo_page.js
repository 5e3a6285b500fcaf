// What the page does by itself: paste and drop, the slider, the brush, words for screen readers.
(() => {
  const find = (selector) => document.querySelector(selector);

  // Files that are pasted, or dropped beside the box, go where dropped ones go.
  const give = (files) => {
    const photos = [...files].filter((file) => file.size);
    const input = find("#photos input[type=file]");
    if (!photos.length || !input) return false;
    const moved = new DataTransfer();
    photos.forEach((file) => moved.items.add(file));
    input.files = moved.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  document.addEventListener("paste", (event) => {
    if (event.clipboardData && give(event.clipboardData.files)) event.preventDefault();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault(); // else the browser leaves the page for the photo
    if (event.dataTransfer && !event.target.closest("#photos")) give(event.dataTransfer.files);
  });

  document.addEventListener("input", (event) => {
    const slider = event.target;
    if (slider.matches(".compare input"))
      slider.parentElement.style.setProperty("--at", `${slider.value}%`);
  });

  // The brush: what is painted goes to the server as a mask, white on black.
  const tell = (value) => {
    const area = find("#mask textarea, #mask input");
    area.value = value;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const fitted = (canvas) => {
    const image = canvas.previousElementSibling;
    if (canvas.width !== image.naturalWidth || canvas.height !== image.naturalHeight)
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    return canvas.getContext("2d");
  };
  const send = (canvas) => {
    const mask = document.createElement("canvas");
    [mask.width, mask.height] = [canvas.width, canvas.height];
    const pen = mask.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = "white";
    pen.fillRect(0, 0, mask.width, mask.height);
    pen.globalCompositeOperation = "destination-over";
    pen.fillStyle = "black";
    pen.fillRect(0, 0, mask.width, mask.height);
    tell(mask.toDataURL("image/png"));
  };
  let last = null;
  const paint = (event) => {
    const canvas = event.target;
    const pen = canvas.getContext("2d");
    const scale = canvas.width / canvas.clientWidth;
    const here = [event.offsetX * scale, event.offsetY * scale];
    pen.strokeStyle = "#e0218a";
    pen.lineCap = pen.lineJoin = "round";
    pen.lineWidth = Math.max(canvas.width, canvas.height) / 20;
    pen.beginPath();
    pen.moveTo(...(last || here));
    pen.lineTo(...here);
    pen.stroke();
    last = here;
  };
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.matches(".brush canvas")) return;
    fitted(event.target);
    event.target.setPointerCapture(event.pointerId);
    last = null;
    paint(event);
  });
  document.addEventListener("pointermove", (event) => {
    if (last && event.target.matches(".brush canvas")) paint(event);
  });
  document.addEventListener("pointerup", (event) => {
    if (last && event.target.matches(".brush canvas")) send(event.target);
    last = null;
  });
  document.addEventListener("click", (event) => {
    const canvas = find(".brush canvas");
    if (!event.target.matches("[data-clear]") || !canvas) return;
    fitted(canvas).clearRect(0, 0, canvas.width, canvas.height);
    tell("");
  });
  document.addEventListener("change", async (event) => {
    const canvas = find(".brush canvas");
    if (!event.target.matches("[data-mask]") || !canvas || !event.target.files[0]) return;
    const picture = await createImageBitmap(event.target.files[0]);
    const pen = fitted(canvas);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const seen = pen.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < seen.data.length; i += 4) {
      const light = (seen.data[i] + seen.data[i + 1] + seen.data[i + 2]) / 3;
      seen.data.set([224, 33, 138, light], i);
    }
    pen.putImageData(seen, 0, 0);
    send(canvas);
  });

  // Gradio has no parameter for these, and builds parts of the page anew whenever they are shown.
  const name = () => {
    const said = find("#said");
    said?.setAttribute("role", "status");
    said?.setAttribute("aria-live", "polite");
    find("#photos input[type=file]")?.setAttribute("aria-label", "Rainy photos");
    document.querySelectorAll("#examples button").forEach((button, number) => {
      button.setAttribute("aria-label", `Example photo ${number + 1}`);
    });
  };
  // It sees nodes come and go, not attributes: what it does itself does not call it again.
  new MutationObserver(name).observe(document, { childList: true, subtree: true });
})();
