# Makes the CRDs and the reference page in SCRATCH, then copies them into SOURCE (WRITE=ON) or fails if SOURCE has
# others (WRITE=OFF).
file(REMOVE_RECURSE "${SCRATCH}")
file(MAKE_DIRECTORY "${SCRATCH}/crds" "${SCRATCH}/docs")
file(GLOB kinds RELATIVE "${SOURCE}/proto" "${SOURCE}/proto/ashlar/v1alpha1/*.proto")
foreach(output crds docs)
  execute_process(
    COMMAND "${PROTOC}" "-I${SOURCE}/proto" -I/usr/include "--plugin=protoc-gen-ashlar=${PLUGIN}"
            "--ashlar_out=${output}:${SCRATCH}/${output}" ${kinds}
    RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "protoc-gen-ashlar failed")
  endif()
endforeach()

function(place from to)
  file(GLOB made RELATIVE "${from}" "${from}/*")
  file(GLOB present RELATIVE "${to}" "${to}/${ARGN}")
  if(WRITE)
    foreach(name IN LISTS present)
      file(REMOVE "${to}/${name}")
    endforeach()
    file(COPY "${from}/" DESTINATION "${to}")
    return()
  endif()
  foreach(name IN LISTS made present)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E compare_files "${from}/${name}" "${to}/${name}"
                    RESULT_VARIABLE differs OUTPUT_QUIET ERROR_QUIET)
    if(differs)
      message(SEND_ERROR "${to}/${name} is stale: run `ninja generate` and commit what it writes")
    endif()
  endforeach()
endfunction()

place("${SCRATCH}/crds" "${SOURCE}/deploy/crds" "ashlar.dev_*.yaml")
place("${SCRATCH}/crds" "${SOURCE}/charts/ashlar/files/crds" "ashlar.dev_*.yaml")
place("${SCRATCH}/docs" "${SOURCE}/docs" "api.md")
