#!/usr/bin/env bash
# Trust on EKS: a role that only pods with the service account bdw-storage of this cluster and namespace may take, and that
# may use the bucket and nothing else. No key is made. May run again at any time.
#
#   bash cluster/kuberay/eks-identity.sh CLUSTER REGION BUCKET NAMESPACE
#
# BUCKET is that of the stack of cluster/aws-account.yaml (output Storage), or one of your own. Needs `aws` with credentials
# that may make roles, and `kubectl` that speaks to this cluster.
set -euo pipefail
[[ $# -eq 4 ]] || { echo "usage: bash cluster/kuberay/eks-identity.sh CLUSTER REGION BUCKET NAMESPACE" >&2; exit 2; }
cluster=$1 region=$2 bucket=${3#s3://} namespace=$4
bucket=${bucket%%/*} role=bdw-eks-$cluster-$namespace
[[ $cluster =~ ^[A-Za-z0-9][A-Za-z0-9_-]*$ ]] || { echo "$cluster: not a cluster's name" >&2; exit 2; }
[[ $bucket =~ ^[a-z0-9][a-z0-9.-]+$ ]] || { echo "$bucket: not a bucket's name" >&2; exit 2; }
[[ $namespace =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] || { echo "$namespace: not a namespace's name" >&2; exit 2; }
[[ ${#role} -le 64 ]] || { echo "$role: longer than the 64 letters of a role's name" >&2; exit 2; }
cloud() { aws --region "$region" --output text "$@"; }

caller=$(cloud sts get-caller-identity --query Arn)
partition=$(cut -d: -f2 <<< "$caller") account=$(cut -d: -f5 <<< "$caller")
issuer=$(cloud eks describe-cluster --name "$cluster" --query cluster.identity.oidc.issuer)
issuer=${issuer#https://}
provider=arn:$partition:iam::$account:oidc-provider/$issuer

# The cluster's issuer of identities, known to the account.
cloud iam get-open-id-connect-provider --open-id-connect-provider-arn "$provider" > /dev/null 2>&1 ||
  cloud iam create-open-id-connect-provider --url "https://$issuer" --client-id-list sts.amazonaws.com > /dev/null

trust=$(cat <<END
{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
  "Principal": {"Federated": "$provider"},
  "Condition": {"StringEquals": {"$issuer:aud": "sts.amazonaws.com",
    "$issuer:sub": "system:serviceaccount:$namespace:bdw-storage"}}}]}
END
)
bucket_access=$(cat <<END
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:$partition:s3:::$bucket"},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
    "Resource": "arn:$partition:s3:::$bucket/*"}]}
END
)
if cloud iam get-role --role-name "$role" > /dev/null 2>&1; then
  cloud iam update-assume-role-policy --role-name "$role" --policy-document "$trust"
else
  cloud iam create-role --role-name "$role" --assume-role-policy-document "$trust" > /dev/null
fi
cloud iam put-role-policy --role-name "$role" --policy-name bucket --policy-document "$bucket_access"
kubectl --namespace "$namespace" annotate --overwrite serviceaccount bdw-storage \
  "eks.amazonaws.com/role-arn=arn:$partition:iam::$account:role/$role"
