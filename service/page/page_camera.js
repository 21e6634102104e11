/* The page's camera: browsers give it to secure pages alone; others take the device's own. */
let stream = null;
const CAMERA_FAULTS = {
  NotAllowedError: "permission to use the camera; found none. Allow it for this page in the browser",
  NotFoundError: "a camera; found none. Connect one, or choose a file",
  NotReadableError: "a free camera; found one that another program uses. Close that program",
};
const hasCamera = Boolean(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
at("camera-open").hidden = !hasCamera;
at("capture-label").hidden = hasCamera;

async function openCamera() {
  warn("");
  at("camera-open").disabled = true;  /* a second click would open a second one */
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } },
    });
    at("video").srcObject = stream;
    at("camera").hidden = false;
    at("camera-open").hidden = true;
    await at("video").play();
    at("shoot").focus();
  } catch (error) {
    closeCamera();
    warn("Expected " + (CAMERA_FAULTS[error.name] || `a camera that works; found: ${error.message}. ` +
      "Choose a file") + ", then try again.");
  } finally {
    at("camera-open").disabled = false;
  }
}

function closeCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = at("video").srcObject = null;
  at("camera").hidden = true;
  at("camera-open").hidden = false;
}

async function shoot() {
  const video = at("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  const time = new Date().toLocaleTimeString();
  if (blob) take([new File([blob], `camera, ${time}`, { type: blob.type })]);
  else warn("Expected a photo of the camera; found none yet. Wait until you see it, then try again.");
}

at("camera-open").addEventListener("click", openCamera);
at("shoot").addEventListener("click", shoot);
at("camera-close").addEventListener("click", () => { closeCamera(); at("camera-open").focus(); });
at("camera").addEventListener("keydown", (event) => {
  if (event.key === "Escape") at("camera-close").click();
});
addEventListener("pagehide", closeCamera);
