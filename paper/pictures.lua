-- Word shows a drawing only beside a picture of it, which Pandoc makes with a program that few machines have. Beside each
-- drawing of a figure lies a picture of it.
function Image(image)
  local picture = image.src:gsub("%.svg$", ".png")
  local file = io.open(quarto.project.directory .. picture, "rb") or io.open(picture, "rb")
  if not file then return nil end
  file:close()
  image.src = picture
  return image
end
