-- Word shows a drawing only beside a picture of it, which Pandoc makes with a program that few machines have. The
-- notebooks hold a picture of each figure, which `pilotlm render` puts under results/shown/pictures.
function Image(image)
  local label = image.src:match("%-(fig%-.+)%-output%-%d+%.svg$")
  if not label then return nil end
  local picture = "/results/shown/pictures/" .. label .. ".png" -- from the folder of the project
  local file = io.open(quarto.project.directory .. picture, "rb")
  if not file then return nil end
  file:close()
  image.src = picture
  return image
end
